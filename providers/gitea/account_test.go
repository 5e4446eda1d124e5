// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// profile is an account as an administrator sees it.
type profile struct {
	Login      string `json:"login"`
	FullName   string `json:"full_name"`
	IsAdmin    bool   `json:"is_admin"`
	Restricted bool   `json:"restricted"`
}

func profileOf(t *testing.T, account string) profile {
	t.Helper()
	var p profile
	require.NoError(t, server.API(t.Context(), http.MethodGet, "/users/"+account, nil, &p))
	return p
}

// edit changes an account behind our back.
func edit(t *testing.T, account string, fields map[string]any) {
	t.Helper()
	var now struct {
		LoginName string `json:"login_name"`
	}
	require.NoError(t, server.API(t.Context(), http.MethodGet, "/users/"+account, nil, &now))
	all := map[string]any{"source_id": 0, "login_name": now.LoginName}
	for name, value := range fields {
		all[name] = value
	}
	require.NoError(t, server.API(t.Context(), http.MethodPatch, "/admin/users/"+account, all, nil))
}

func TestAccountOfARole(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	first, _ := mint(t, c, w.grant(t, "repository=read"))
	second, _ := mint(t, c, w.grant(t, "repository=read"))
	require.Equal(t, first.Username, second.Username, "a role has one account")
	p := profileOf(t, first.Username)
	require.Regexp(t, `^ci-[0-9a-f]{20}$`, p.Login)
	require.Contains(t, p.FullName, w.subject)
	require.True(t, p.Restricted)
	require.False(t, p.IsAdmin)

	other := w.grant(t, "repository=read")
	other.Subject = "another_mount/role"
	third, _ := mint(t, c, other)
	require.NotEqual(t, first.Username, third.Username, "two mounts share an account")
}

func TestAccountCanHaveNothingOfItsOwn(t *testing.T) {
	w := newWorld(t)
	token, _ := mint(t, connect(t, w.settings), w.grant(t, "repository=write", "organization=write"))
	// In its account's place, even an administrator cannot do these.
	for path, in := range map[string]any{
		"/user/repos?sudo=" + token.Username: map[string]string{"name": "mine"},
		"/orgs?sudo=" + token.Username:       map[string]string{"username": "mine-" + w.organization},
	} {
		err := server.API(t.Context(), http.MethodPost, path, in, nil)
		require.ErrorContains(t, err, "status 4", path)
	}
}

func TestForeignAccountIsNotAdopted(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	g := w.grant(t, "repository=read")
	token, handle := mint(t, c, g)
	ours := profileOf(t, token.Username)
	require.NoError(t, c.Revoke(t.Context(), handle))
	require.NoError(t, c.Retire(t.Context(), w.subject))

	// A stranger takes the name, and copies all that a user can set.
	_, err := server.CreateUser(t.Context(), token.Username)
	require.NoError(t, err)
	edit(t, token.Username, map[string]any{
		"login_name": token.Username, "full_name": ours.FullName, "restricted": true,
		"description": "Owns the tokens of one role of a secrets engine for CI in Vault. Made, kept and removed by it.",
	})

	_, err = c.Mint(t.Context(), g)
	require.Equal(t, fault.Refused, fault.KindOf(err), err)
	require.ErrorContains(t, err, token.Username)
	require.Empty(t, tokensOf(t, token.Username))
	require.Equal(t, "none", w.accessTo(t, token.Username, "web"), "it was given access")
	found, err := c.Find(t.Context(), g.Mount(), c.Place(g))
	require.NoError(t, err)
	require.Empty(t, found)
	require.NoError(t, c.Retire(t.Context(), w.subject))
	profileOf(t, token.Username) // it still is
}

func TestAccountIsKeptLimited(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	token, _ := mint(t, c, w.grant(t, "repository=read"))
	for name, drift := range map[string]map[string]any{
		"an administrator":  {"admin": true},
		"not restricted":    {"restricted": false},
		"without our limit": {"description": "", "max_repo_creation": -1, "allow_create_organization": true},
	} {
		t.Run(name, func(t *testing.T) {
			edit(t, token.Username, drift)
			mint(t, c, w.grant(t, "repository=read"))
			p := profileOf(t, token.Username)
			require.True(t, p.Restricted)
			require.False(t, p.IsAdmin)
			err := server.API(t.Context(), http.MethodPost, "/user/repos?sudo="+token.Username, map[string]string{"name": "mine"}, nil)
			require.ErrorContains(t, err, "status 4")
		})
	}
}

func TestBlockedAccountStaysBlocked(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	token, _ := mint(t, c, w.grant(t, "repository=read"))
	edit(t, token.Username, map[string]any{"prohibit_login": true})
	_, err := c.Mint(t.Context(), w.grant(t, "repository=read"))
	require.Equal(t, fault.Refused, fault.KindOf(err), err)
	require.ErrorContains(t, err, "blocked")
}

func TestRetireWaitsForLiveTokens(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	token, handle := mint(t, c, w.grant(t, "repository=read"))
	err := c.Retire(t.Context(), w.subject)
	require.Equal(t, fault.Conflict, fault.KindOf(err), err)
	require.Equal(t, http.StatusOK, statusOf(t, token.Secret, http.MethodGet, "/repos/"+w.organization+"/web", nil))

	require.NoError(t, c.Revoke(t.Context(), handle))
	require.NoError(t, c.Retire(t.Context(), w.subject))
	require.ErrorContains(t, server.API(t.Context(), http.MethodGet, "/users/"+token.Username, nil, nil), "status 404")
	require.NoError(t, c.Revoke(t.Context(), handle), "a token whose account is gone is dead")
	used, err := c.LastUsed(t.Context(), handle)
	require.NoError(t, err)
	require.Zero(t, used)
}
