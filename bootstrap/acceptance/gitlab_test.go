// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world/worldtest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea/giteatest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// hub is a Vault with the engine at ci/ and a simulated GitLab behind it that serves
// git too.
type hub struct {
	*worldtest.Vault
	root   *worldtest.Caller
	gitlab *gitlabtest.Instance
	url    string
	user   int64
	hidden []string
}

// newHub starts one with the projects acme/web, acme/svc-a and acme/svc-b, the config
// gitlab with a token that ends in thirty days, and the environment dev.
func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{gitlab: gitlabtest.New(time.Now)}
	server := httptest.NewServer(h.gitlab)
	t.Cleanup(server.Close)
	t.Cleanup(h.gitlab.Close)
	h.url = server.URL
	h.user = h.gitlab.AddUser("vault")
	h.gitlab.SetMember(h.user, "acme", gitlabtest.Maintainer)
	for _, project := range []string{"acme/web", "acme/svc-a", "acme/svc-b"} {
		h.gitlab.AddProject(project)
	}
	require.NoError(t, h.gitlab.ServeGit(t.Context(), t.TempDir()))
	h.Vault = worldtest.StartVault(t, world.Options{})
	h.Mount("ci/", h.Register(worldtest.BuildPlugin(t)), api.MountConfigInput{AuditNonHMACResponseKeys: world.AuditKeys()})
	h.root = h.Root()
	h.config(30)
	h.root.Must("ci/environments/dev", map[string]any{"description": "where it may break"})
	return h
}

// personal makes a token of our user that lives for so many days.
func (h *hub) personal(days int) string {
	token := h.gitlab.AddPersonalToken(h.user, "vault", []string{"api"}, time.Now().AddDate(0, 0, days))
	h.hidden = append(h.hidden, token)
	return token
}

// config writes the config with a new token of our user.
func (h *hub) config(days int) (token string) {
	token = h.personal(days)
	h.root.Must("ci/config/gitlab", map[string]any{"provider": "gitlab", "base_url": h.url, "token": token})
	return token
}

func (h *hub) tryRole(t *testing.T, name string, changes map[string]any) world.Answer {
	t.Helper()
	role := map[string]any{
		"config": "gitlab", "stage": "build", "environment": "dev", "owner": "team-web", "purpose": "build the site",
		"repositories": []string{"acme/web"}, "permissions": []string{"repository=read"}, "ttl": 600, "max_ttl": 600,
	}
	maps.Copy(role, changes)
	return h.For(t).Root().Write("ci/roles/"+name, role)
}

func (h *hub) role(t *testing.T, name string, changes map[string]any) {
	t.Helper()
	require.NoError(t, h.tryRole(t, name, changes).Failure())
}

// read reads a credential that has to come.
func (h *hub) read(t *testing.T, path string) world.Answer {
	t.Helper()
	answer := h.For(t).Root().Read("ci/creds/" + path)
	require.NoError(t, answer.Failure())
	h.hidden = append(h.hidden, answer.Data["token"].(string))
	return answer
}

func (h *hub) revoke(t *testing.T, answer world.Answer) {
	t.Helper()
	h.For(t).Root().Must("sys/leases/revoke", map[string]any{"lease_id": answer.LeaseID, "sync": true})
}

// seen is the one live token as GitLab sees it.
func (h *hub) seen(t *testing.T) gitlabtest.Token {
	t.Helper()
	live := slices.DeleteFunc(h.gitlab.Tokens(), func(token gitlabtest.Token) bool { return !token.Live || token.Kind == "personal" })
	require.Len(t, live, 1)
	return live[0]
}

func (h *hub) remote(t *testing.T, answer world.Answer, project string) string {
	t.Helper()
	u, err := url.Parse(h.url + "/" + project + ".git")
	require.NoError(t, err)
	u.User = url.UserPassword(answer.Data["username"].(string), answer.Data["token"].(string))
	return u.String()
}

func TestGitLab(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	t.Run("who only reads gets a deploy token that ends by itself", h.deployToken)
	t.Run("who writes gets a project access token of the least level", h.projectToken)
	t.Run("what one token cannot be is 400", h.refused)
	t.Run("a pattern is narrowed to one project by the path", h.pattern)
	t.Run("a token whose answer was lost is found by its name", h.lostAnswer)
	t.Run("a limit is passed on with its wait and obeyed", h.limited)
	t.Run("the engine's own token is replaced, with a twin and without", h.rotates)
	t.Run("the engine's own token is replaced before it ends", h.expires)
	t.Run("an older snapshot brings no token back, not even a pattern's", h.restored)
	t.Run("on Forgejo 15 a credential is narrower than its role", h.forgejo)
	h.For(t).NoSecrets(h.hidden...)
}

func (h *hub) deployToken(t *testing.T) {
	h.role(t, "pull", nil)
	answer := h.read(t, "pull")
	require.Regexp(t, `^gitlab\+deploy-token-\d+$`, answer.Data["username"])
	seen := h.seen(t)
	require.Equal(t, "deploy", seen.Kind)
	require.Equal(t, []string{"read_repository"}, seen.Scopes)
	require.WithinDuration(t, time.Now().Add(600*time.Second), seen.ExpiresAt, time.Minute)
	require.Equal(t, seen.ExpiresAt.UTC().Format(time.RFC3339), answer.Data["expires_at"])

	j := job{dir: t.TempDir()}
	out, err := j.git(j.dir, "ls-remote", h.remote(t, answer, "acme/web"))
	require.NoError(t, err, out)
	_, err = j.git(j.dir, "ls-remote", h.remote(t, answer, "acme/svc-a"))
	require.Error(t, err, "a project that is not its role's")
	h.revoke(t, answer)
	_, err = j.git(j.dir, "ls-remote", h.remote(t, answer, "acme/web"))
	require.Error(t, err, "after its lease")
	require.Empty(t, record(t, h.For(t).Root(), answer.Data["token_id"].(string))["last_used_at"], "GitLab keeps none of a deploy token")
}

func (h *hub) projectToken(t *testing.T) {
	h.role(t, "push", map[string]any{"stage": "release", "permissions": []string{"repository=write"}})
	answer := h.read(t, "push")
	require.Equal(t, "oauth2", answer.Data["username"])
	seen := h.seen(t)
	require.Equal(t, "project", seen.Kind)
	require.Equal(t, gitlabtest.Developer, seen.AccessLevel)
	require.Equal(t, []string{"write_repository"}, seen.Scopes)
	require.Less(t, time.Until(seen.ExpiresAt), 48*time.Hour)
	require.LessOrEqual(t, answer.LeaseDuration, 600*time.Second)

	j := job{dir: t.TempDir()}
	out, err := j.git(j.dir, "clone", "--quiet", h.remote(t, answer, "acme/web"), "web")
	require.NoError(t, err, out)
	clone := filepath.Join(j.dir, "web")
	require.NoError(t, os.WriteFile(filepath.Join(clone, "built"), []byte("built"), 0o600))
	for _, args := range [][]string{{"add", "."}, {"commit", "--quiet", "-m", "built"}, {"push", "--quiet", "origin", "HEAD:main"}} {
		out, err := j.git(clone, args...)
		require.NoError(t, err, out)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+"/api/v4/personal_access_tokens/self", nil)
	require.NoError(t, err)
	request.Header.Set("PRIVATE-TOKEN", answer.Data["token"].(string))
	used, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, used.Body.Close())

	h.revoke(t, answer)
	_, err = j.git(clone, "push", "--quiet", "origin", "HEAD:again")
	require.Error(t, err, "after its lease")
	r := record(t, h.For(t).Root(), answer.Data["token_id"].(string))
	require.Equal(t, "platform", r["use_reported_by"])
	require.NotEmpty(t, r["last_used_at"])
}

func (h *hub) refused(t *testing.T) {
	root := h.For(t).Root()
	for _, c := range []struct {
		changes map[string]any
		says    string
	}{
		{map[string]any{"repositories": []string{"acme/web", "acme/svc-a"}}, "a GitLab token reaches one project"},
		{map[string]any{"permissions": []string{"self_rotate=write"}}, "outlives its lease"},
		{map[string]any{"stage": "release", "permissions": []string{"repository=write", "packages=write"}}, "Make two roles"},
	} {
		answer := h.tryRole(t, "refused", c.changes)
		require.Equal(t, http.StatusBadRequest, answer.Status, c.says)
		require.ErrorContains(t, answer.Failure(), c.says)
	}
	answer := root.Write("ci/stages/wide", map[string]any{"gitlab": []string{"self_rotate=write"}})
	require.Equal(t, http.StatusBadRequest, answer.Status, "a ceiling could allow it")
	require.Equal(t, http.StatusNotFound, root.Read("ci/roles/refused").Status)
}

func (h *hub) pattern(t *testing.T) {
	root := h.For(t).Root()
	h.role(t, "services", map[string]any{"repositories": []string{"acme/svc-*"}})
	require.GreaterOrEqual(t, root.Read("ci/creds/services").Status, 400, "it has to be named")
	require.Equal(t, http.StatusForbidden, root.Read("ci/creds/services/acme/web").Status)
	answer := h.read(t, "services/acme/svc-a")
	require.Equal(t, "acme/svc-a", h.seen(t).Project)
	require.Equal(t, []any{"acme/svc-a"}, answer.Data["repositories"])
	h.revoke(t, answer)
	require.Empty(t, h.gitlab.Live())
}

func (h *hub) lostAnswer(t *testing.T) {
	root := h.For(t).Root()
	before := timesTold(eventsOf(t, root), "orphan_revoked", "")
	h.gitlab.Fail(gitlabtest.Fault{Method: http.MethodPost, Times: 1, Drop: true})
	h.gitlab.Fail(gitlabtest.Fault{Path: "_tokens", Status: http.StatusServiceUnavailable})
	require.Equal(t, http.StatusServiceUnavailable, root.Read("ci/creds/push").Status)
	require.Len(t, h.gitlab.Live(), 1)
	h.gitlab.Heal()
	eventually(t, 2*time.Minute, "the token is dead", func() bool { return len(h.gitlab.Live()) == 0 })
	eventually(t, 10*time.Second, "the log says so", func() bool { return timesTold(eventsOf(t, root), "orphan_revoked", "") == before+1 })
}

func (h *hub) limited(t *testing.T) {
	root := h.For(t).Root()
	h.gitlab.Limit(http.Header{"Retry-After": {"2"}})
	answer := root.Read("ci/creds/pull")
	require.Equal(t, http.StatusTooManyRequests, answer.Status, answer.Errors)
	require.ErrorContains(t, answer.Failure(), "2s")
	h.gitlab.Forget()
	require.Equal(t, http.StatusTooManyRequests, root.Read("ci/creds/pull").Status)
	require.Empty(t, h.gitlab.Requests(), "GitLab was asked although it had said to wait")
	h.gitlab.Heal()
	eventually(t, 30*time.Second, "the wait is over", func() bool {
		answer := root.Read("ci/creds/pull")
		if answer.Status == http.StatusOK {
			h.revoke(t, answer)
		}
		return answer.Status == http.StatusOK
	})
}

func (h *hub) rotates(t *testing.T) {
	root := h.For(t).Root()
	held := h.read(t, "push")
	for _, twin := range []bool{false, true} {
		old := h.config(30)
		other := ""
		if twin {
			other = h.personal(30)
		}
		h.leave(old, other)
		answer := root.Write("ci/rotate-root/gitlab", nil)
		require.NoError(t, answer.Failure())
		require.NotContains(t, answer.Data, "token")
		require.Equal(t, answer.Data, root.Read("ci/config/gitlab").Data)
		require.False(t, h.gitlab.IsLive(old))
		h.revoke(t, h.read(t, "pull"))
	}
	h.revoke(t, held)
	require.Empty(t, h.gitlab.Live())
	require.Equal(t, 2, timesTold(eventsOf(t, root), "root_rotated", ""))
}

// leave revokes all tokens of our user's but these.
func (h *hub) leave(tokens ...string) { h.gitlab.RevokePersonal(h.user, tokens...) }

func (h *hub) expires(t *testing.T) {
	root := h.For(t).Root()
	old := h.config(1)
	h.leave(old)
	// It is looked at once an hour, and whenever the engine starts.
	require.NotEmpty(t, h.For(t).KillPlugins())
	eventually(t, time.Minute, "another plugin", func() bool { return root.Read("ci/info").Status == http.StatusOK })
	eventually(t, time.Minute, "the old token is dead", func() bool { return !h.gitlab.IsLive(old) })
	h.revoke(t, h.read(t, "pull"))
	events := eventsOf(t, root)
	last := events[slices.IndexFunc(events, func(e event) bool { return e.text("occasion") == "expiry" })]
	require.Equal(t, "root_rotated", last.text("type"))
	require.Equal(t, "gitlab", last.text("config"))
}

func (h *hub) restored(t *testing.T) {
	kept := h.read(t, "push")
	snapshot := h.For(t).Snapshot()
	h.read(t, "push")
	h.read(t, "services/acme/svc-b")
	h.role(t, "younger", map[string]any{"repositories": []string{"acme/svc-a"}})
	h.read(t, "younger")
	require.Len(t, h.gitlab.Live(), 4)
	h.For(t).Restore(snapshot, false)
	eventually(t, 2*time.Minute, "only what is on record lives", func() bool { return len(h.gitlab.Live()) == 1 })
	require.True(t, h.gitlab.IsLive(kept.Data["token"].(string)))
	h.revoke(t, kept)
	require.Empty(t, h.gitlab.Live())
}

func (h *hub) forgejo(t *testing.T) {
	root := h.For(t).Root()
	f := giteatest.NewForgejo(t, "acme/web", "acme/api")
	h.hidden = append(h.hidden, f.Password)
	root.Must("ci/config/forgejo", map[string]any{"provider": "gitea", "base_url": f.URL, "username": f.Admin, "password": f.Password})
	h.role(t, "any", map[string]any{"config": "forgejo", "repositories": []string{"acme/*"}})
	answer := h.read(t, "any/acme/api")
	require.True(t, f.Reaches(answer.Data["token"].(string), "acme/api"))
	require.False(t, f.Reaches(answer.Data["token"].(string), "acme/web"))
	require.Equal(t, []any{"acme/api"}, answer.Data["repositories"])
	h.revoke(t, answer)
	require.Zero(t, f.Live())
	for _, path := range []string{"ci/roles/any", "ci/config/forgejo"} {
		require.NoError(t, root.Delete(path).Failure())
	}
	require.Equal(t, []string{f.Admin}, f.Accounts())
}
