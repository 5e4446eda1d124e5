// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea_test

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// collaborate gives an account access behind our back.
func (w world) collaborate(t *testing.T, account, repository, permission string) {
	t.Helper()
	path := "/repos/" + w.organization + "/" + repository + "/collaborators/" + account
	require.NoError(t, server.API(t.Context(), http.MethodPut, path, map[string]string{"permission": permission}, nil))
}

// team puts an account into a new team.
func (w world) team(t *testing.T, account string, fields map[string]any) {
	t.Helper()
	var team struct {
		ID int64 `json:"id"`
	}
	in := map[string]any{"name": "helpers", "permission": "read"}
	maps.Copy(in, fields)
	require.NoError(t, server.API(t.Context(), http.MethodPost, "/orgs/"+w.organization+"/teams", in, &team))
	require.NoError(t, server.API(t.Context(), http.MethodPut, "/teams/"+itoa(team.ID)+"/members/"+account, nil, nil))
}

func TestLeastAccess(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	for permission, access := range map[string]string{
		"repository=read": "read", "issue=read": "read", "package=write": "read", "user=read": "read",
		"repository=write": "write", "issue=write": "write",
	} {
		g := w.grant(t, permission)
		g.Subject += permission
		token, _ := mint(t, c, g)
		require.Equal(t, access, w.accessTo(t, token.Username, "web"), permission)
		require.Equal(t, "none", w.accessTo(t, token.Username, "api"), permission)
	}
}

// A public repository can be read with a token of another role's, as it can be
// without any. That is all.
func TestPublicRepositories(t *testing.T) {
	w := newWorld(t)
	path := "/repos/" + w.organization + "/api"
	require.NoError(t, server.API(t.Context(), http.MethodPatch, path, map[string]any{"private": false}, nil))
	c := connect(t, w.settings)
	token, _ := mint(t, c, w.grant(t, "repository=write"))
	in := map[string]string{"content": "aGk=", "branch": "main", "message": "hi"}
	require.Equal(t, http.StatusForbidden, statusOf(t, token.Secret, http.MethodPost, path+"/contents/a", in))

	g := w.grant(t, "repository=write")
	g.Subject += "/public"
	g.Repositories = []string{"api"}
	theirs, _ := mint(t, c, g)
	require.Equal(t, http.StatusOK, statusOf(t, theirs.Secret, http.MethodPost, path+"/contents/a", in))
}

func TestDriftIsMended(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	first, _ := mint(t, c, w.grant(t, "repository=read"))
	for name, drift := range map[string]func(){
		"another repository": func() { w.collaborate(t, first.Username, "api", "read") },
		"more access":        func() { w.collaborate(t, first.Username, "web", "admin") },
		"no access": func() {
			path := "/repos/" + w.organization + "/web/collaborators/" + first.Username
			require.NoError(t, server.API(t.Context(), http.MethodDelete, path, nil, nil))
		},
	} {
		drift()
		token, _ := mint(t, c, w.grant(t, "repository=read"))
		require.Equal(t, "read", w.accessTo(t, first.Username, "web"), name)
		require.Equal(t, "none", w.accessTo(t, first.Username, "api"), name)
		require.Equal(t, []string{"web"}, token.Repositories, name)
	}
}

func TestAccountFollowsItsRole(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	g := w.grant(t, "repository=read")
	token, _ := mint(t, c, g)

	g = w.grant(t, "repository=read")
	g.Repositories = []string{"web", "api"}
	_, _ = mint(t, c, g)
	require.Equal(t, "read", w.accessTo(t, token.Username, "api"))

	g = w.grant(t, "repository=read")
	g.Repositories = []string{"api"}
	_, _ = mint(t, c, g)
	require.Equal(t, "none", w.accessTo(t, token.Username, "web"))
	require.Equal(t, "read", w.accessTo(t, token.Username, "api"))
}

func TestAccessThroughATeamIsRefused(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	token, handle := mint(t, c, w.grant(t, "repository=read"))
	require.NoError(t, c.Revoke(t.Context(), handle))
	w.team(t, token.Username, map[string]any{
		"includes_all_repositories": true, "units_map": map[string]string{"repo.code": "write"},
	})
	_, err := c.Mint(t.Context(), w.grant(t, "repository=read"))
	require.Equal(t, fault.Refused, fault.KindOf(err), err)
	require.ErrorContains(t, err, "team")
	require.Empty(t, tokensOf(t, token.Username))
}

func TestRenamedRepositoryIsRefused(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	path := "/repos/" + w.organization + "/web"
	require.NoError(t, server.API(t.Context(), http.MethodPatch, path, map[string]string{"name": "site"}, nil))
	_, err := c.Mint(t.Context(), w.grant(t, "repository=read"))
	require.Error(t, err)
	require.ErrorContains(t, err, "renamed")
	require.Equal(t, fault.Refused, fault.KindOf(err), err)
}

// A caller that asks for less than its role does not take from the others.
func TestFewerPermissionsLeaveLiveTokensAlone(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	writer, handle := mint(t, c, w.grant(t, "repository=write"))
	reader, _ := mint(t, c, w.grant(t, "repository=read"))
	file := func(name string) any { return map[string]string{"content": "aGk=", "branch": "main", "message": name} }
	contents := "/repos/" + w.organization + "/web/contents/"
	require.Equal(t, http.StatusOK, statusOf(t, writer.Secret, http.MethodPost, contents+"a", file("a")))
	require.Equal(t, http.StatusForbidden, statusOf(t, reader.Secret, http.MethodPost, contents+"b", file("b")))

	require.NoError(t, c.Revoke(t.Context(), handle))
	_, _ = mint(t, c, w.grant(t, "repository=read"))
	require.Equal(t, "read", w.accessTo(t, writer.Username, "web"), "more access than any token needs")
}

// meanwhile does something once, just before the first request that it is for.
type meanwhile struct {
	next   http.RoundTripper
	method string
	do     func()
	once   sync.Once
}

func (m *meanwhile) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == m.method {
		m.once.Do(m.do)
	}
	return m.next.RoundTrip(r)
}

// A Mint that reads lowers the account's access, a Mint that writes needs it, and
// one comes between the steps of the other.
func TestFewerPermissionsAtOnce(t *testing.T) {
	for name, c := range map[string]struct{ outer, method, inner string }{
		"read before a writing token is made": {"repository=write", http.MethodPost, "repository=read"},
		"write before access is lowered":      {"repository=read", http.MethodPut, "repository=write"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			inner := connect(t, w.settings)
			// The account is there and has write access, which no live token needs.
			token, handle := mint(t, inner, w.grant(t, "repository=write"))
			require.NoError(t, inner.Revoke(t.Context(), handle))

			came := false
			client := *w.settings.Client
			client.Transport = &meanwhile{next: client.Transport, method: c.method, do: func() {
				came = true
				mint(t, inner, w.grant(t, c.inner))
			}}
			w.settings.Client = &client
			mint(t, connect(t, w.settings), w.grant(t, c.outer))
			require.True(t, came)
			require.Equal(t, "write", w.accessTo(t, token.Username, "web"), "a token that writes cannot")
		})
	}
}

// Packages are their owner's, not a repository's: who may publish them is for a
// team to say, and one that gives no repository does not stand in the way.
func TestPackagesThroughATeam(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	publish := func(token string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
			server.URL+"/api/packages/"+w.organization+"/generic/app/1.0/app.txt", strings.NewReader("built"))
		require.NoError(t, err)
		r.Header.Set("Authorization", "token "+token)
		resp, err := w.settings.Client.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	first, handle := mint(t, c, w.grant(t, "package=write"))
	require.Equal(t, http.StatusUnauthorized, publish(first.Secret))
	require.NoError(t, c.Revoke(t.Context(), handle))

	w.team(t, first.Username, map[string]any{"units_map": map[string]string{"repo.packages": "write"}})
	second, handle := mint(t, c, w.grant(t, "package=write"))
	require.Equal(t, http.StatusCreated, publish(second.Secret))
	require.NoError(t, c.Revoke(t.Context(), handle))
	require.Equal(t, http.StatusUnauthorized, publish(second.Secret))
}
