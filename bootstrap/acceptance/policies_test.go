// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// allowed says who may do what: c(reate), r(ead), u(pdate), p(atch), d(elete),
// l(ist), or nothing. `job` is the policy of whoever logs in as acme/web, the other
// columns are named by the policy.
const allowed = `
path                           security platform-team pipeline-build-web job  revoke exposed introspect audit
config/github                  crupdl   rl            -                  -    -      -       -          -
rotate-root/github             u        -             -                  -    -      -       -          -
stages/build                   crupdl   rl            -                  -    -      -       -          -
environments/dev               crupdl   rl            -                  -    -      -       -          -
issuers/actions                crupdl   rl            -                  -    -      -       -          -
settings                       rupd     -             -                  -    -      -       -          -
roles/build-web                rl       crupdl        -                  -    -      -       -          -

creds/build-web                -        -             ru                 -    -      -       -          -
creds/build-web/acme/web       -        -             ru                 ru   -      -       -          -
creds/build-web/acme/api       -        -             ru                 -    -      -       -          -
creds/build-any                -        -             -                  -    -      -       -          -
creds/build-any/acme/web       -        -             -                  ru   -      -       -          -
creds/build-any/acme/web2      -        -             -                  -    -      -       -          -
creds/build-any/acme/web/x     -        -             -                  -    -      -       -          -
creds/build-any/web            -        -             -                  -    -      -       -          -
creds/deploy-web               -        -             -                  -    -      -       -          -
creds/deploy-web/acme/web      -        -             -                  -    -      -       -          -
explain/build-web              -        ru            ru                 ru   -      -       -          -
explain/deploy-web             -        ru            -                  -    -      -       -          -

approvals                      -        -             -                  -    -      -       -          -
approvals/                     rl       -             -                  -    -      -       -          -
approvals/build-web            rl       -             u                  u    -      -       -          -
approvals/deploy-web           rl       -             -                  -    -      -       -          -
approvals/build-web/1          rl       -             r                  r    -      -       -          -
approvals/deploy-web/1         rl       -             -                  -    -      -       -          -
approvals/build-web/1/approve  u        -             -                  -    -      -       -          -
approvals/build-web/1/deny     u        -             -                  -    -      -       -          -

tokens/                        rl       -             -                  -    rl     -       -          rl
tokens/1                       rl       -             -                  -    rl     -       -          rl
tokens/1/use                   rl       -             u                  u    rl     -       -          rl
tokens/1/revoke                rl       -             -                  -    u      -       -          rl
revoke                         -        -             -                  -    u      -       -          -
exposed                        -        -             -                  -    -      u       -          -
introspect                     -        -             -                  -    -      -       u          -

events                         ru       -             -                  -    -      -       -          ru
report                         r        r             -                  -    r      -       -          r
metrics                        -        -             -                  -    -      -       -          r
info                           r        r             -                  -    -      -       -          r

/sys/leases/revoke/ci/creds/build-web/1          -  - u - - - - -
/sys/leases/revoke/ci/creds/build-any/acme/web/1 -  - - u - - - -
/sys/leases/revoke/ci/creds/build-any/acme/api/1 -  - - - - - - -
/sys/leases/revoke/ci/creds/deploy-web/1         -  - - - - - - -
/sys/leases/revoke                               -  - - - - - - -
/sys/leases/revoke-prefix/ci                     -  - - - - - - -
`

// policies holds the table against what Vault says each policy allows, and the
// table's paths against those that the engine has.
func (s *site) policies(t *testing.T) {
	var rows [][]string
	for line := range strings.Lines(allowed) {
		if fields := strings.Fields(line); len(fields) > 0 {
			rows = append(rows, fields)
		}
	}
	header, rows := rows[0], rows[1:]
	var paths []string
	for _, row := range rows {
		require.Len(t, row, len(header), row[0])
		paths = append(paths, fullPath(row[0]))
	}
	for column := 1; column < len(header); column++ {
		token := s.as(t, header[column])
		answer := s.root.Must("sys/capabilities", map[string]any{"token": token, "paths": paths})
		for i, row := range rows {
			require.Equal(t, row[column], letters(answer.Data[paths[i]]), "%s on %s", header[column], row[0])
		}
	}
	for _, pattern := range s.patterns(t) {
		require.True(t, matchesAny(pattern, paths), "%s is missing in the table", pattern)
	}
}

// fullPath is where a row of the table is in Vault.
func fullPath(row string) string {
	if absolute, ok := strings.CutPrefix(row, "/"); ok {
		return absolute
	}
	return "ci/" + row
}

// as is a token with one policy of the mount, or of a job that logs in.
func (s *site) as(t *testing.T, who string) string {
	t.Helper()
	if who == "job" {
		return s.login(t, "github-actions", s.actions.Mint(identitytest.GitHub())).Token
	}
	session, err := s.CreateToken(t.Context(), api.TokenCreateRequest{Policies: []string{"ci-" + who}})
	require.NoError(t, err)
	return session.Token
}

func (s *site) login(t *testing.T, auth, idToken string) world.Session {
	t.Helper()
	session, err := s.LoginJWT(t.Context(), auth, "job", idToken)
	require.NoError(t, err)
	return session
}

// letters are the first letters of capabilities, in the order of the table.
func letters(capabilities any) string {
	given := ""
	for _, letter := range "crupdl" {
		for _, capability := range capabilities.([]any) {
			if rune(capability.(string)[0]) == letter && capability != "deny" {
				given += string(letter)
			}
		}
	}
	if given == "" {
		return "-"
	}
	return given
}

// patterns are the paths of the engine as its OpenAPI document has them.
func (s *site) patterns(t *testing.T) []string {
	t.Helper()
	help := s.root.Read("ci/?help=1")
	require.Equal(t, 200, help.Status)
	document := help.Raw["openapi"].(map[string]any)
	var patterns []string
	for pattern := range document["paths"].(map[string]any) {
		patterns = append(patterns, pattern)
	}
	require.Greater(t, len(patterns), 20)
	return patterns
}

var parameter = regexp.MustCompile(`\\\{[a-z_]+\\\}`)

// matchesAny reports whether one of the paths is an instance of the pattern.
func matchesAny(pattern string, paths []string) bool {
	expression := regexp.MustCompile(`^ci` + parameter.ReplaceAllString(regexp.QuoteMeta(pattern), `[^/].*`) + `.*$`)
	for _, path := range paths {
		if expression.MatchString(path) {
			return true
		}
	}
	return false
}

// jobs logs jobs of both CI systems in and lets one use what it got.
func (s *site) jobs(t *testing.T) {
	root := s.For(t).Root()

	web := s.login(t, "github-actions", s.actions.Mint(identitytest.GitHub()))
	job := s.For(t).As(web.Token)
	got := job.Read("ci/creds/build-any/acme/web")
	require.Equal(t, 200, got.Status, got.Errors)
	require.Equal(t, []any{"web"}, names(got.Data["repositories"]))
	require.Equal(t, githubtest.Live, s.github.StateOf(got.Data["token"].(string)))
	for _, path := range []string{"ci/creds/build-any/acme/api", "ci/creds/build-any", "ci/creds/build-web"} {
		require.Equal(t, 403, job.Read(path).Status, path)
	}
	beside := job.Write("ci/creds/build-any/acme/web", map[string]any{"repositories": []string{"api"}})
	require.Equal(t, 400, beside.Status, "the path alone says which repository")
	require.Equal(t, true, job.Read("ci/explain/build-web").Data["allowed"])

	t.Run("the audit file says which job it was", func(t *testing.T) {
		read := s.For(t).Audit().Responses().Request(got.RequestID)[0]
		require.Equal(t, "refs/heads/main", read.Auth.Metadata["ref"])
		require.Equal(t, "10283746151", read.Auth.Metadata["run_id"])
	})

	t.Run("the token dies with the login at job end", func(t *testing.T) {
		require.Equal(t, 204, job.Write("auth/token/revoke-self", nil).Status)
		token := got.Data["token"].(string)
		eventually(t, time.Minute, "token dead at the platform", func() bool { return s.github.StateOf(token) != githubtest.Live })
	})

	t.Run("the job ends its lease early and stays logged in", func(t *testing.T) {
		job := s.For(t).As(s.login(t, "github-actions", s.actions.Mint(identitytest.GitHub())).Token)
		got := job.Read("ci/creds/build-any/acme/web")
		require.Equal(t, 200, got.Status, got.Errors)
		require.Equal(t, 204, job.Write("sys/leases/revoke/"+got.LeaseID, nil).Status)
		require.NotEqual(t, githubtest.Live, s.github.StateOf(got.Data["token"].(string)))
	})

	t.Run("a project of GitLab is bound by its path", func(t *testing.T) {
		session := s.login(t, "gitlab", s.gitlab.Mint(identitytest.GitLab()))
		answer := root.Must("sys/capabilities", map[string]any{"token": session.Token, "paths": []string{
			"ci/creds/build-any/acme/shop/web", "ci/creds/build-any/acme/shop/api", "ci/creds/build-any",
		}})
		require.Equal(t, "ru", letters(answer.Data["ci/creds/build-any/acme/shop/web"]))
		require.Equal(t, "-", letters(answer.Data["ci/creds/build-any/acme/shop/api"]))
		require.Equal(t, "-", letters(answer.Data["ci/creds/build-any"]))
	})

	t.Run("a scanner reports what it found, and does nothing else", func(t *testing.T) {
		for auth, identity := range map[string]string{
			"github-actions": s.actions.Mint(identitytest.GitHub()), "gitlab": s.gitlab.Mint(identitytest.GitLab()),
		} {
			session, err := s.LoginJWT(t.Context(), auth, "scanner", identity)
			require.NoError(t, err)
			require.ElementsMatch(t, []string{"default", "ci-exposed"}, session.Policies)
		}
	})

	t.Run("strangers do not log in", func(t *testing.T) {
		for why, attempt := range map[string]struct{ auth, idToken string }{
			"another owner":               {"github-actions", s.actions.Mint(identitytest.GitHub().With(identitytest.Claims{"repository_owner": "evil", "repository_owner_id": "66"}))},
			"the owner's name taken over": {"github-actions", s.actions.Mint(identitytest.GitHub().With(identitytest.Claims{"repository_owner_id": "66"}))},
			"made out to somebody else":   {"github-actions", s.actions.Mint(identitytest.GitHub().With(identitytest.Claims{"aud": "https://other.example.com"}))},
			"signed by another issuer":    {"github-actions", s.gitlab.Mint(identitytest.GitHub())},
			"another group":               {"gitlab", s.gitlab.Mint(identitytest.GitLab().With(identitytest.Claims{"project_path": "acme-evil/web"}))},
		} {
			_, err := s.LoginJWT(t.Context(), attempt.auth, "job", attempt.idToken)
			require.ErrorContains(t, err, "status 400", why)
		}
	})
}

// names are the bare names of a list of repositories.
func names(repositories any) []any {
	var bare []any
	for _, repository := range repositories.([]any) {
		name := repository.(string)
		bare = append(bare, name[strings.LastIndexByte(name, '/')+1:])
	}
	return bare
}
