// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Vocabulary is GitHub's set of permissions for Apps. GitHub adds names all the
// time, and each Enterprise Server has its own: any well-formed name may be one,
// and GitHub has the last word. Only what is known to be a mistake is refused.
type Vocabulary struct{}

var _ providers.Vocabulary = Vocabulary{}

// levels are those of the resources that do not simply have read and write.
var levels = map[string][]providers.Level{
	"organization_custom_properties":                 {providers.Read, providers.Write, providers.Admin},
	"organization_projects":                          {providers.Read, providers.Write, providers.Admin},
	"repository_projects":                            {providers.Read, providers.Write, providers.Admin},
	"enterprise_custom_properties_for_organizations": {providers.Read, providers.Write, providers.Admin},
	"organization_events":                            {providers.Read},
	"organization_plan":                              {providers.Read},
	"profile":                                        {providers.Write},
	"workflows":                                      {providers.Write},
}

// harmless are the resources whose write level reaches no further than the code,
// the artifacts and the talk of a token's repositories. Write access to any other,
// one that we do not know included, is destructive: those change pipelines, hold
// credentials, silence alarms or decide who may do what.
var harmless = []string{
	"actions", "artifact_metadata", "attestations", "checks", "code_quality", "contents",
	"deployments", "discussions", "issues", "merge_queues", "metadata", "packages", "pages",
	"pull_requests", "repository_projects", "single_file", "statuses",
}

// plurals are names that are often written without their s.
var plurals = append([]string{
	"environments", "secrets", "workflows", "members", "repository_hooks", "organization_hooks",
	"organization_secrets", "dependabot_secrets", "secret_scanning_alerts", "vulnerability_alerts",
}, harmless...)

var wellFormed = regexp.MustCompile(`^[a-z][a-z0-9_]{0,99}$`)

// Check refuses names that no GitHub has and levels that a resource does not have.
func (Vocabulary) Check(p providers.Permission) error {
	if !wellFormed.MatchString(p.Resource) {
		return fault.InvalidField("permissions", "%q: GitHub's names are lower-case words joined by _; is it %s?", p.Resource, snake(p.Resource))
	}
	for _, ending := range []string{"s", "es"} {
		if slices.Contains(plurals, p.Resource+ending) {
			return fault.InvalidField("permissions", "GitHub has no %q; is it %s%s?", p.Resource, p.Resource, ending)
		}
	}
	allowed, special := levels[p.Resource]
	if !special {
		allowed = []providers.Level{providers.Read, providers.Write}
	}
	if !slices.Contains(allowed, p.Level) {
		return fault.InvalidField("permissions", "%s: GitHub has %s only as %s", p, p.Resource, join(allowed))
	}
	return nil
}

// Destructive is true of write access to whatever is not known to be harmless.
func (Vocabulary) Destructive(p providers.Permission) bool {
	return p.Level != providers.Read && !slices.Contains(harmless, p.Resource)
}

func join(allowed []providers.Level) string {
	words := make([]string, len(allowed))
	for i, l := range allowed {
		words[i] = string(l)
	}
	return strings.Join(words, ", ")
}

// snake guesses what was meant by pull-requests, PullRequests or "pull requests".
func snake(name string) string {
	var b strings.Builder
	previous := '_'
	for _, r := range name {
		switch {
		case unicode.IsUpper(r):
			if previous != '_' && !unicode.IsUpper(previous) {
				b.WriteByte('_')
			}
			b.WriteRune(unicode.ToLower(r))
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		case previous != '_':
			b.WriteByte('_')
			r = '_'
		default:
			r = '_'
		}
		previous = r
	}
	return strings.Trim(b.String(), "_")
}
