// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/snippets"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// pipelineFile is the path of a file of bootstrap/pipelines.
func pipelineFile(t *testing.T, name string) string {
	t.Helper()
	root, err := world.Root()
	require.NoError(t, err)
	return filepath.Join(root, "bootstrap", "pipelines", name)
}

// street is a Vault whose jobs come from two CI systems. Logins and policies are
// those of bootstrap/mount.
type street struct {
	*stand
	gitlab     *gitlabtest.Instance
	gitlabURL  string
	jobs       map[string]platform
	identities string // where a runner of GitHub Actions makes identities
	secrets    []string
}

func newStreet(t *testing.T) *street {
	t.Helper()
	for _, tool := range []string{"bash", "curl", "jq", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("a runner has %s, this machine has not", tool)
		}
	}
	s := &street{stand: newStand(t, world.Options{}, githubtest.Options{}), gitlab: gitlabtest.New(time.Now)}
	t.Cleanup(s.gitlab.Close)
	server := httptest.NewServer(s.gitlab)
	t.Cleanup(server.Close)
	s.gitlabURL = server.URL
	user := s.gitlab.AddUser("vault")
	s.gitlab.SetMember(user, "acme", gitlabtest.Maintainer)
	for _, project := range []string{"acme/web", "acme/api"} {
		s.gitlab.AddProject(project)
	}
	require.NoError(t, s.gitlab.ServeGit(t.Context(), t.TempDir()))
	s.root.Must("ci/config/gitlab", map[string]any{
		"provider": "gitlab", "base_url": s.gitlabURL,
		"token": s.gitlab.AddPersonalToken(user, "vault", []string{"api"}, time.Now().AddDate(0, 0, 30)),
	})
	s.jobs = map[string]platform{
		"github-actions": {"github-actions", identitytest.New(t, identitytest.Options{Path: identitytest.GitHubPath}), identitytest.GitHub(), "repository"},
		"gitlab": {"gitlab", identitytest.New(t, identitytest.Options{Path: identitytest.GitLabPath}),
			identitytest.GitLab().With(identitytest.Claims{"project_path": "acme/web"}), "project_path"},
	}
	s.admit("github-actions", "github", "build-any", []string{"contents=read"}, "deploy-web")
	s.admit("gitlab", "gitlab", "build-project", []string{"repository=read"})
	s.identities = s.identityEndpoint()
	return s
}

// vaultAddress is where jobs reach Vault.
func (s *street) vaultAddress() string {
	return strings.TrimPrefix(s.ClientEnv()[0], "VAULT_ADDR=")
}

// admit lets the jobs of a CI system log in, and have a role on their own repository
// that issues against their identity; and roles that are written later.
func (s *street) admit(auth, config, role string, permissions []string, later ...string) {
	s.t.Helper()
	accessor, err := s.EnableAuth(s.t.Context(), auth, "jwt")
	require.NoError(s.t, err)
	s.root.Must("auth/"+auth+"/config", map[string]any{"oidc_discovery_url": s.jobs[auth].issuer.URL()})
	audience := map[string]string{"github-actions": s.vaultAddress(), "gitlab": identitytest.Audience}[auth]
	fill := strings.NewReplacer("@mount@", "ci", "@accessor@", accessor, "@policy@", "repository-"+auth,
		"@audience@", audience, "@owner@", "acme", "@owner_id@", "65", "@group@", "acme")
	template := func(name string) string {
		text, err := os.ReadFile(pipelineFile(s.t, filepath.Join("..", "mount", name)))
		require.NoError(s.t, err)
		return fill.Replace(string(text))
	}
	var policy strings.Builder
	for _, name := range append(later, role) {
		policy.WriteString(strings.ReplaceAll(template("policies/repository.hcl"), "@role@", name))
	}
	s.Policy("repository-"+auth, policy.String())
	var login map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(template("jwt/"+auth+".json")), &login))
	s.root.Must("auth/"+auth+"/role/job", login)
	s.root.Must("ci/issuers/"+auth, map[string]any{
		"preset": auth, "discovery_url": s.jobs[auth].issuer.URL(), "audiences": audience, "config": config,
	})
	s.role(role, map[string]any{
		"config": config, "repositories": []string{"acme/*"}, "permissions": permissions, "ttl": 600,
		"issuer": auth, "bound_claims": []string{s.jobs[auth].repository + "=acme/*"},
	})
}

// identity is a job's own token.
func (s *street) identity(auth, audience string) string {
	token := s.jobs[auth].issuer.Mint(s.jobs[auth].job.With(identitytest.Claims{"aud": audience}))
	s.secrets = append(s.secrets, token)
	return token
}

// identityEndpoint is what a runner of GitHub Actions offers its jobs.
func (s *street) identityEndpoint() string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+actionsBearer || r.URL.Query().Get("api-version") != "2.0" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"value": s.identity("github-actions", r.URL.Query().Get("audience"))})
	}))
	s.t.Cleanup(server.Close)
	return server.URL + "/idtoken?api-version=2.0"
}

// atGitHub and atGitLab count the tokens there that we made: all, and the live ones.
func (s *street) atGitHub() (made, live int) { return len(s.github.Tokens()), s.github.Live() }

func (s *street) atGitLab() (made, live int) {
	// GitLab forgets a deploy token that is revoked: what was made, the requests say.
	for _, request := range s.gitlab.Requests() {
		if request.Method == http.MethodPost && strings.HasSuffix(request.Path, "/deploy_tokens") {
			made++
		}
	}
	for _, token := range s.gitlab.Tokens() {
		if token.Kind != "personal" && token.Live {
			live++
		}
	}
	return made, live
}

// pipeline is one of the files, as a CI system runs it.
type pipeline struct {
	name string
	role string
	// run runs the job to its very end.
	run func(*testing.T, pipelineJob) outcome
	// tokens are those at its platform, made and live.
	tokens func() (made, live int)
	// slowly makes the platform slow at making tokens, and says whether it is at one.
	slowly func(*testing.T) (asked func() bool)
}

// pipelineJob is one run, and what goes wrong in it.
type pipelineJob struct {
	// repository that the job says it is of; empty means acme/web, which it is.
	repository string
	// role is another than the file's, and approval one that it needs.
	role, approval string
	// work takes the place of what the file does with the credential.
	work string
	// kill is told the folder of the job, and says when SIGTERM is to come.
	kill func(folder string) bool
}

// outcome is what a job leaves behind.
type outcome struct {
	failed bool
	log    string
	folder string
}

// careless is work that prints its credential and keeps it.
const careless = `echo "my token is $CI_TOKEN, take care"; printf %s "$CI_TOKEN" >token; `

// after checks what holds after any job: nothing is live, in Vault or at the platform.
func (s *street) after(t *testing.T, p pipeline) {
	t.Helper()
	eventually(t, 2*time.Minute, "no token is live at the platform", func() bool { _, live := p.tokens(); return live == 0 })
	eventually(t, 2*time.Minute, "no lease is left", func() bool {
		return s.root.List("sys/leases/lookup/ci/creds/"+p.role+"/acme/web").Status == http.StatusNotFound
	})
	eventually(t, time.Minute, "only root is logged in", func() bool {
		return len(s.root.List("auth/token/accessors").Data["keys"].([]any)) == 1
	})
}

func TestPipelines(t *testing.T) {
	s := newStreet(t)
	for _, p := range []pipeline{
		{"github-actions.yml", "build-any", s.runActions, s.atGitHub, s.slowGitHub},
		{"gitlab-ci.yml", "build-project", s.runGitLab, s.atGitLab, s.slowGitLab},
		{"step.sh", "build-any", s.runStep, s.atGitHub, s.slowGitHub},
	} {
		t.Run(p.name, func(t *testing.T) { s.holds(t, p) })
	}
	t.Run("approval.sh", s.approves)
	s.NoSecrets(s.secrets...)
}

func (s *street) holds(t *testing.T, p pipeline) {
	one := func(t *testing.T, j pipelineJob) outcome {
		t.Helper()
		before, _ := p.tokens()
		out := p.run(t, j)
		eventually(t, time.Minute, "one token was made", func() bool { made, _ := p.tokens(); return made == before+1 })
		s.after(t, p)
		return out
	}
	t.Run("as it is written", func(t *testing.T) {
		out := one(t, pipelineJob{})
		require.False(t, out.failed, out.log)
		require.FileExists(t, filepath.Join(out.folder, "source", ".git", "HEAD"), out.log)
		require.NotRegexp(t, `ghs_|gldt-|hvs\.|eyJ`, out.log)
	})
	t.Run("the work fails", func(t *testing.T) {
		out := one(t, pipelineJob{work: careless + "exit 7"})
		require.True(t, out.failed, out.log)
		s.kept(t, out)
	})
	t.Run("killed at work", func(t *testing.T) {
		out := one(t, pipelineJob{work: careless + "touch working; sleep 300", kill: func(folder string) bool {
			_, err := os.Stat(filepath.Join(folder, "working"))
			_, live := p.tokens()
			return err == nil && live == 1
		}})
		require.True(t, out.failed, out.log)
		s.kept(t, out)
	})
	t.Run("killed while the token is made", func(t *testing.T) {
		asked := p.slowly(t)
		out := one(t, pipelineJob{kill: func(string) bool { return asked() }})
		require.True(t, out.failed, out.log)
		require.NoDirExists(t, filepath.Join(out.folder, "source"))
	})
	t.Run("another repository's is refused", func(t *testing.T) {
		before, _ := p.tokens()
		out := p.run(t, pipelineJob{repository: "acme/api"})
		require.True(t, out.failed, out.log)
		require.Contains(t, out.log, "permission denied")
		s.after(t, p)
		made, _ := p.tokens()
		require.Equal(t, before, made)
	})
}

// kept checks that careless work had its credential.
func (s *street) kept(t *testing.T, out outcome) {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(out.folder, "token"))
	require.NoError(t, err, out.log)
	require.NotEmpty(t, token)
	s.secrets = append(s.secrets, string(token))
	require.Contains(t, out.log, "my token is ", "the work was done")
}

// mintTime is how long a slow platform takes to make a token.
const mintTime = 2 * time.Second

// slowGitHub and slowGitLab hold the next request for a token for a while.
func (s *street) slowGitHub(t *testing.T) func() bool {
	s.github.ClearRequests()
	t.Cleanup(s.github.Inject(githubtest.Fault{Match: mintPath, Times: 1, Delay: mintTime}))
	return func() bool {
		return s.github.Counts()["POST /app/installations/{installation_id}/access_tokens"] > 0
	}
}

func (s *street) slowGitLab(t *testing.T) func() bool {
	var asked atomic.Bool
	s.gitlab.Fail(gitlabtest.Fault{Method: http.MethodPost, Path: "/deploy_tokens", Times: 1, Rewrite: func(body []byte) []byte {
		asked.Store(true)
		time.Sleep(mintTime)
		return body
	}})
	t.Cleanup(s.gitlab.Heal)
	return asked.Load
}

func TestPipelinesPage(t *testing.T) {
	snippets.Check(t, pipelineFile(t, "README.md"))
}
