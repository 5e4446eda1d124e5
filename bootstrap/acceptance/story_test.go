// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
)

// TestStory runs the first day and the deployment to production that the README
// tells, command by command, each by who it says, with the policies and the login of
// bootstrap/mount.
func TestStory(t *testing.T) {
	steps := readSessions(t, "README.md")
	s := newSite(t, "v0.1.0")
	shell := s.castStory(t)
	for _, step := range steps {
		shell.run(t, step)
	}

	tokens := s.github.Tokens()
	require.Len(t, tokens, 2, "one token on the first day, and one for production")
	require.Equal(t, map[string]string{"contents": "read", "deployments": "write", "metadata": "read"}, tokens[1].Permissions)
	eventually(t, 30*time.Second, "the tokens are dead at GitHub", func() bool { return s.github.Live() == 0 })
	s.storyIsAudited(t, shell.variable(t, "APPROVAL"))
	s.NoSecrets(shell.variable(t, "DEPLOY_TOKEN"), shell.variable(t, "ID_TOKEN"))
}

// castStory logs in those whom the story names, but for the job, which does so by
// itself. Only where things are is other than in the README.
func (s *site) castStory(t *testing.T) *shell {
	t.Helper()
	people := s.Users("people",
		world.User{Name: "security", Password: "correct horse", Policies: []string{"ci-security"}},
		world.User{Name: "platform", Password: "battery staple", Policies: []string{"ci-platform-team"}},
		world.User{Name: "bob", Password: "tests are green", Policies: []string{"ci-security"}},
		world.User{Name: "auditor", Password: "all is on record", Policies: []string{"ci-audit"}})
	key := filepath.Join(t.TempDir(), "app.pem")
	require.NoError(t, os.WriteFile(key, []byte(s.app.PrivateKeyPEM()), 0o600))
	sh := newShell(t, s.Vault, map[string]string{
		"admin": s.RootToken(), "job": "", "security": people[0].Token, "platform": people[1].Token,
		"bob": people[2].Token, "auditor": people[3].Token,
	},
		"/opt/vault/plugins/vault-plugin-secrets-ci_v0.1.0_linux_amd64", s.program("v0.1.0"),
		"--github-owner-id 65", "--github-owner-id 65 --github-issuer "+s.actions.URL(),
		"app_id=123456", fmt.Sprintf("app_id=%d base_url=%s", s.app.ID, s.github.URL()),
		"@app.pem", "@"+key,
		"preset=github-actions", "preset=github-actions discovery_url="+s.actions.URL(),
	)
	sh.let(t, "ID_TOKEN", s.actions.Mint(identitytest.GitHub().With(identitytest.Claims{"environment": "prod"})))
	sh.let(t, "AUDIT_LOG", s.AuditPath)
	return sh
}

// storyIsAudited finds each step in the audit file: who, what, and how it ended.
func (s *site) storyIsAudited(t *testing.T, approval string) {
	t.Helper()
	for _, want := range []struct{ path, who, err string }{
		{"ci/approvals/deploy-web", "github-actions-acme/web", ""},
		{"ci/approvals/deploy-web/" + approval, "people-bob", ""},
		{"ci/approvals/deploy-web/" + approval + "/approve", "people-bob", ""},
		{"ci/creds/deploy-web/acme/web", "github-actions-acme/web", "1 other(s) must approve"},
		{"ci/creds/deploy-web/acme/web", "github-actions-acme/web", ""},
		{"ci/creds/deploy-web/acme/web", "github-actions-acme/web", "is used"},
	} {
		entries := s.Audit().Responses().Path(want.path).Where(func(e world.Entry) bool {
			return e.Auth.DisplayName == want.who && (e.Error == "") == (want.err == "") && strings.Contains(e.Error, want.err)
		})
		require.Len(t, entries, 1, "%+v", want)
		require.NotEmpty(t, entries[0].Auth.EntityID)
	}
	issued := s.Audit().Responses().Path("ci/creds/deploy-web/acme/web").Where(func(e world.Entry) bool { return e.Error == "" })[0]
	record := s.root.Read("ci/tokens/" + issued.Response.Data["token_id"].(string)).Data
	require.Equal(t, issued.Request.ID, record["request_id"], "the ledger and the audit file join")
	require.Equal(t, "octocat", record["job_actor"])
	require.Len(t, record["approved_by"], 1)
}
