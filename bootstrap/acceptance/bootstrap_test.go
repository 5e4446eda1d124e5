// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/snippets"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world/worldtest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

const engine = "vault-plugin-secrets-ci"

// site is a Vault that scripts/bootstrap-mount.sh brings to where it should be:
// versions of the engine in its plugin directory, a GitHub to make tokens at, and
// the two CI systems whose jobs log in.
type site struct {
	*worldtest.Vault
	t               *testing.T
	root            *worldtest.Caller
	github          *githubtest.Simulator
	app             githubtest.App
	actions, gitlab *identitytest.Issuer
}

func newSite(t *testing.T, versions ...string) *site {
	t.Helper()
	s := &site{
		t: t, Vault: worldtest.StartVault(t, world.Options{}), github: githubtest.Start(t, githubtest.Options{Validate: true}),
		actions: identitytest.New(t, identitytest.Options{Path: identitytest.GitHubPath}),
		gitlab:  identitytest.New(t, identitytest.Options{Path: identitytest.GitLabPath}),
	}
	s.root = s.Root()
	s.app, _ = s.github.Install("acme", permissions(), "web", "api")
	for _, version := range versions {
		flag := "-ldflags=-X github.com/ci-identity/vault-plugin-secrets-ci/backend.Version=" + version
		require.NoError(t, world.BuildPlugin(t.Context(), world.EnginePackage, s.program(version), flag))
	}
	return s
}

// program is the file of a version, in the plugin directory.
func (s *site) program(version string) string {
	return filepath.Join(s.PluginDir, engine+"-"+version)
}

// bootstrap runs the one command for a version; options go to its end.
func (s *site) bootstrap(version string, options ...string) world.Output {
	s.t.Helper()
	repository, err := world.Root()
	require.NoError(s.t, err)
	arguments := append([]string{
		"--version", version, "--program", s.program(version),
		"--role", "build-web", "--role", "build-any", "--audience", identitytest.Audience,
		"--github-owner", "acme", "--github-owner-id", "65", "--github-issuer", s.actions.URL(),
		"--gitlab-group", "acme", "--gitlab-issuer", s.gitlab.URL(),
	}, options...)
	command := exec.CommandContext(s.t.Context(), filepath.Join(repository, "scripts", "bootstrap-mount.sh"), arguments...)
	command.Env = append(s.ClientEnv(), "VAULT_TOKEN="+s.RootToken(), "HOME="+s.t.TempDir(),
		"PATH="+filepath.Dir(s.Binary())+string(os.PathListSeparator)+os.Getenv("PATH"))
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err = command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(s.t, err)
	}
	return world.Output{Stdout: stdout.String(), Stderr: stderr.String(), Code: command.ProcessState.ExitCode()}
}

// mustBootstrap is a bootstrap that succeeds; it returns what it said.
func (s *site) mustBootstrap(version string) string {
	s.t.Helper()
	output := s.bootstrap(version)
	require.Zero(s.t, output.Code, output.Stdout+output.Stderr)
	return output.Stdout
}

// state is everything that the command is there to set, as Vault reads it back, and
// the processes of the engine.
func (s *site) state() map[string]any {
	s.t.Helper()
	state := map[string]any{}
	for _, path := range []string{
		"sys/plugins/catalog/secret/" + engine + "?version=v0.1.0", "sys/plugins/catalog/secret/" + engine + "?version=v0.1.1",
		"sys/mounts/ci", "sys/mounts/ci/tune", "sys/auth/github-actions", "sys/auth/gitlab",
		"auth/github-actions/config", "auth/github-actions/role/job", "auth/github-actions/role/scanner",
		"auth/gitlab/config", "auth/gitlab/role/job", "auth/gitlab/role/scanner",
	} {
		state[path] = s.root.Read(path).Data
	}
	for _, name := range s.root.List("sys/policies/acl").Data["keys"].([]any) {
		state[name.(string)] = s.root.Read("sys/policies/acl/" + name.(string)).Data
	}
	pids, err := s.Leader().PluginPIDs()
	require.NoError(s.t, err)
	state["processes"] = pids
	return state
}

func TestBootstrap(t *testing.T) {
	s := newSite(t, "v0.1.0", "v0.1.1")

	t.Run("the page shows what there is", func(t *testing.T) {
		repository, err := world.Root()
		require.NoError(t, err)
		page := filepath.Join(repository, "bootstrap", "mount", "README.md")
		snippets.Check(t, page)
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		usage := s.bootstrap("v0.1.0", "--help")
		require.Zero(t, usage.Code)
		for _, option := range regexp.MustCompile(`(?m)bootstrap-mount\.sh( \\\n.*)+`).FindAllString(string(text), -1) {
			for _, name := range regexp.MustCompile(`--[a-z0-9-]+`).FindAllString(option, -1) {
				require.Contains(t, usage.Stdout, name)
			}
		}
	})

	t.Run("a wrong call is refused before anything is done", func(t *testing.T) {
		for want, options := range map[string][]string{
			"there is no option --colour":                 {"--colour", "red"},
			"'x\" { }' has characters that do not belong": {"--role", `x" { }`},
			"--version needs a value":                     {"--version"},
			"--version vX.Y.Z is needed":                  {"--version", "0.1.0"},
			"there is no file /nowhere":                   {"--program", "/nowhere"},
			"version mismatch":                            {"--version", "v9.9.9"},
		} {
			output := s.bootstrap("v0.1.0", options...)
			require.NotZero(t, output.Code, want)
			require.Contains(t, output.Stderr, want)
		}
		require.Equal(t, 404, s.root.Read("ci/info").Status)
	})

	t.Run("an empty Vault gets the mount, its policies and its logins", func(t *testing.T) {
		said := s.mustBootstrap("v0.1.0")
		require.Contains(t, said, "enabled ci/ with v0.1.0")

		program, err := os.ReadFile(s.program("v0.1.0"))
		require.NoError(t, err)
		sum := sha256.Sum256(program)
		catalog := s.root.Read("sys/plugins/catalog/secret/" + engine + "?version=v0.1.0").Data
		require.Equal(t, hex.EncodeToString(sum[:]), catalog["sha256"])
		require.Equal(t, "v0.1.0", s.root.Read("ci/info").Data["version"])

		tune := s.root.Read("sys/mounts/ci/tune").Data
		require.EqualValues(t, 15*60, tune["default_lease_ttl"])
		require.EqualValues(t, 6*60*60, tune["max_lease_ttl"])
		shown := []string{}
		for _, key := range tune["audit_non_hmac_response_keys"].([]any) {
			shown = append(shown, key.(string))
		}
		require.ElementsMatch(t, world.AuditKeys(), shown)
	})

	t.Run("a second run changes nothing", func(t *testing.T) {
		before := s.state()
		said := s.mustBootstrap("v0.1.0")
		require.Equal(t, before, s.state())
		require.Contains(t, said, "ci/ runs v0.1.0")
		for _, word := range []string{"registered v", "enabled", "upgraded", "wrote"} {
			require.NotContains(t, said, word)
		}
	})

	t.Run("a version never changes under its name", func(t *testing.T) {
		output := s.bootstrap("v0.1.0", "--sha256", fmt.Sprintf("%064d", 0))
		require.Equal(t, 1, output.Code)
		require.Contains(t, output.Stderr, "is registered with another SHA-256")
	})

	t.Run("what a later run does not say", s.later)

	s.connect()
	t.Run("each policy allows its own things alone", s.policies)
	t.Run("a job that logs in is bound to its own repository", s.jobs)
	t.Run("a login by hand", s.byHand)
	t.Run("an upgrade in place keeps live leases", s.upgrade)
}

// later runs the command with other options: TTLs stay as they were set, and the
// roles are those of the last run.
func (s *site) later(t *testing.T) {
	root := s.For(t).Root()
	before := s.state()
	require.Zero(t, s.bootstrap("v0.1.0", "--max-ttl=2h").Code, "a value may come after an equals sign")
	s.mustBootstrap("v0.1.0")
	tune := root.Read("sys/mounts/ci/tune").Data
	require.EqualValues(t, 15*60, tune["default_lease_ttl"])
	require.EqualValues(t, 2*60*60, tune["max_lease_ttl"])

	more := s.bootstrap("v0.1.0", "--role", "build-more", "--max-ttl", "6h")
	require.Zero(t, more.Code, more.Stderr)
	require.NotContains(t, more.Stdout, "no longer")
	said := s.mustBootstrap("v0.1.0")
	require.Contains(t, said, "no longer for jobs of auth/github-actions/: build-more\n")
	require.Contains(t, said, "no longer for jobs of auth/gitlab/: build-more\n")

	// What somebody may have been given by name is not taken away.
	require.Equal(t, 204, root.Delete("sys/policies/acl/ci-pipeline-build-more").Status)
	require.Equal(t, before, s.state())
}

// byHand makes the login of another CI system as the page says.
func (s *site) byHand(t *testing.T) {
	forgejo := identitytest.New(t, identitytest.Options{Path: identitytest.ForgejoPath})
	shell := newShell(t, s.Vault, map[string]string{"admin": s.RootToken()}, "https://git.example.com/api/actions", forgejo.URL())
	for _, step := range readSessions(t, "bootstrap", "mount", "README.md") {
		shell.run(t, step)
	}
	job := s.For(t).As(s.login(t, "forgejo", forgejo.Mint(identitytest.Forgejo())).Token)
	require.Equal(t, 200, job.Read("ci/creds/build-any/acme/web").Status)
	require.Equal(t, 403, job.Read("ci/creds/build-any/acme/api").Status)
	require.Equal(t, 204, job.Write("auth/token/revoke-self", nil).Status)
}

// connect writes what a mount needs beyond the bootstrap: a config, an environment
// and two roles, one on a repository and one on any.
func (s *site) connect() {
	s.t.Helper()
	s.root.Must("ci/config/github", map[string]any{
		"provider": "github", "base_url": s.github.URL(), "app_id": fmt.Sprint(s.app.ID),
		"private_key": s.app.PrivateKeyPEM(), "organization": "acme",
	})
	s.root.Must("ci/environments/dev", map[string]any{"description": "where it may break"})
	s.role("build-web", nil)
	s.role("build-any", map[string]any{"repositories": []string{"*"}})
}

// role writes a role that reads the contents of acme/web, with changes.
func (s *site) role(name string, changes map[string]any) {
	s.t.Helper()
	role := map[string]any{
		"config": "github", "stage": "build", "environment": "dev", "owner": "team-web", "purpose": "build the site",
		"repositories": []string{"web"}, "permissions": []string{"contents=read"}, "ttl": 120, "max_ttl": 600,
	}
	maps.Copy(role, changes)
	s.root.Must("ci/roles/"+name, role)
}
