// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity

import "slices"

// The presets' names.
const (
	GitHubActions = "github-actions"
	GitLab        = "gitlab"
	Forgejo       = "forgejo"
)

// Preset is what is known of one kind of issuer. It must not be changed.
type Preset struct {
	// Name is the value of `preset` in an issuer.
	Name string
	// Title is what people call it.
	Title string
	// Issuer is the issuer, and the address of its discovery, that an issuer has
	// which names none; empty where every installation has its own.
	Issuer string
	// Hint says what discovery_url is on an own installation.
	Hint string
	// Public are the issuers that vouch for anybody's jobs.
	Public []string
	// Identity are the claims that say whose job it is, steadily: a job cannot
	// choose them, and one of them bound keeps strangers out.
	//
	// `sub` is not among them. Its form is the platform's to change and, on GitHub,
	// the repository's: repositories created, renamed or moved after 15 July 2026
	// have ids inside it. repository_id says the same and stays.
	Identity []string
	// Repository is the claim that holds the repository's full name, owner first:
	// the one claim that a role's `repositories` may name.
	Repository string

	facts facts
}

// Presets are all presets, in the order in which documentation shows them.
func Presets() []Preset {
	return []Preset{githubActions(), gitlab(), forgejo()}
}

// PresetOf finds a preset by its name.
func PresetOf(name string) (Preset, bool) {
	presets := Presets()
	i := slices.IndexFunc(presets, func(p Preset) bool { return p.Name == name })
	if i < 0 {
		return Preset{}, false
	}
	return presets[i], true
}

// example is a bound claim that says whose job may come.
func (p Preset) example() string { return p.Repository + "=acme/*" }

func presetNames() []string {
	var names []string
	for _, p := range Presets() {
		names = append(names, p.Name)
	}
	return names
}

func githubActions() Preset {
	return Preset{
		Name:       GitHubActions,
		Title:      "GitHub Actions",
		Issuer:     "https://token.actions.githubusercontent.com",
		Hint:       "https://HOST/_services/token on GitHub Enterprise Server",
		Public:     []string{"https://token.actions.githubusercontent.com"},
		Identity:   actionsIdentity(),
		Repository: "repository",
		facts:      actionsFacts(),
	}
}

func gitlab() Preset {
	return Preset{
		Name:       GitLab,
		Title:      "GitLab CI/CD",
		Issuer:     "https://gitlab.com",
		Hint:       "https://HOST on an own GitLab",
		Public:     []string{"https://gitlab.com"},
		Identity:   []string{"project_path", "project_id", "namespace_path", "namespace_id"},
		Repository: "project_path",
		facts: facts{
			repository:  fact{"project_path"},
			ref:         fact{"ref"},
			sha:         fact{"sha"},
			environment: fact{"environment"},
			workflow:    fact{"ci_config_ref_uri"},
			run:         fact{"pipeline_id", "job_id"},
			pipeline:    "pipeline_id",
			actor:       fact{"user_login"},
			runner:      fact{"runner_id", "runner_environment"},
		},
	}
}

func forgejo() Preset {
	return Preset{
		Name:       Forgejo,
		Title:      "Forgejo Actions",
		Hint:       "https://HOST/api/actions",
		Public:     []string{"https://codeberg.org/api/actions"},
		Identity:   actionsIdentity(),
		Repository: "repository",
		facts:      actionsFacts(),
	}
}

// actionsIdentity are the steady claims of GitHub Actions, which Forgejo has copied.
func actionsIdentity() []string {
	return []string{"repository", "repository_id", "repository_owner", "repository_owner_id"}
}

// actionsFacts is where GitHub Actions, and Forgejo after it, put what a Job holds.
func actionsFacts() facts {
	return facts{
		repository:  fact{"repository"},
		ref:         fact{"ref"},
		sha:         fact{"sha"},
		environment: fact{"environment"},
		workflow:    fact{"workflow_ref"},
		run:         fact{"run_id"},
		pipeline:    "run_id",
		actor:       fact{"actor"},
		runner:      fact{"runner_environment"},
	}
}
