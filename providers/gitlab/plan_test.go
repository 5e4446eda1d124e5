// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// TestPlan reads as the policy: which token carries what, and with which level.
func TestPlan(t *testing.T) {
	for _, c := range []struct {
		permissions []string
		kind        string
		scopes      []string
		access      int
	}{
		{[]string{"repository=read"}, deployToken, []string{"read_repository"}, 0},
		{[]string{"registry=read"}, deployToken, []string{"read_registry"}, 0},
		{[]string{"registry=write"}, deployToken, []string{"read_registry", "write_registry"}, 0},
		{[]string{"packages=read"}, deployToken, []string{"read_package_registry"}, 0},
		{[]string{"packages=write"}, deployToken, []string{"read_package_registry", "write_package_registry"}, 0},
		{[]string{"repository=read", "registry=write", "packages=write"}, deployToken,
			[]string{"read_repository", "read_registry", "write_registry", "read_package_registry", "write_package_registry"}, 0},
		{[]string{"repository=write"}, projectToken, []string{"write_repository"}, 30},
		{[]string{"repository=write", "registry=read"}, projectToken, []string{"write_repository", "read_registry"}, 30},
		{[]string{"api=read"}, projectToken, []string{"read_api"}, 20},
		{[]string{"api=read", "repository=read", "packages=read"}, projectToken, []string{"read_api", "read_repository"}, 20},
		{[]string{"api=read", "registry=write"}, projectToken, []string{"read_api", "read_registry", "write_registry"}, 30},
		{[]string{"api=write"}, projectToken, []string{"api"}, 30},
		{[]string{"api=write", "repository=write", "packages=write"}, projectToken, []string{"api", "write_repository"}, 30},
		{[]string{"ai_features=write"}, projectToken, []string{"ai_features"}, 20},
		{[]string{"k8s_proxy=write"}, projectToken, []string{"k8s_proxy"}, 30},
	} {
		g := grant(t, c.permissions...)
		p, err := planFor(g.Permissions)
		require.NoError(t, err, c.permissions)
		require.Equal(t, plan{c.kind, c.scopes, c.access, g.Permissions}, p)
		require.ElementsMatch(t, g.Permissions, p.granted(p.scopes, p.access), "what is granted is not what was asked")
		require.NotContains(t, p.scopes, "self_rotate")
		require.Less(t, p.access, gitlabtest.Maintainer)
	}
}

func TestCheckRefuses(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.token)
	for _, permissions := range [][]string{
		{"repository=write", "packages=write"},
		{"repository=write", "packages=read"},
		{"api=read", "packages=write"},
	} {
		err := c.Check(grant(t, permissions...))
		require.Equal(t, fault.Invalid, fault.KindOf(err))
		require.ErrorContains(t, err, "permissions: no single GitLab token carries packages=")
		require.ErrorContains(t, err, "Make two roles, or write api=")
	}
	for _, refused := range []struct {
		permission, why string
	}{
		{"self_rotate=write", "outlives its lease"},
		{"create_runner=write", "outlive the lease"},
		{"manage_runner=write", "outlive the lease"},
		{"repository=admin", "read and write"},
		{"k8s_proxy=read", "write only"},
		{"read_repository=read", "there are repository, registry"},
	} {
		g := grant(t, refused.permission)
		require.ErrorContains(t, Platform().Vocabulary.Check(g.Permissions[0]), refused.why)
		err := c.Check(g)
		require.Equal(t, fault.Invalid, fault.KindOf(err))
		require.ErrorContains(t, err, "permissions: "+refused.permission)
	}
	require.Empty(t, w.Requests())
}

func TestDestructive(t *testing.T) {
	for permission, want := range map[string]bool{
		"api=write": true, "k8s_proxy=write": true, "api=read": false, "repository=write": false,
		"registry=write": false, "packages=write": false, "ai_features=write": false,
	} {
		p, err := providers.ParsePermission("permissions", permission)
		require.NoError(t, err)
		require.NoError(t, Platform().Vocabulary.Check(p))
		require.Equal(t, want, Platform().Vocabulary.Destructive(p), permission)
	}
}

// TestOneProject: a role may have a pattern; a token has one project.
func TestOneProject(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.token)
	for _, one := range []struct {
		repositories []string
		narrowed, ok bool
	}{
		{[]string{"web"}, false, true},
		{[]string{"web-*"}, false, true},
		{[]string{"web-*", "lint"}, false, true},
		{[]string{"web", "lint"}, false, false},
		{[]string{"web", "lint"}, true, false},
		{[]string{"tools/lint"}, false, false},
		{[]string{""}, false, false},
		{nil, false, false},
	} {
		g := grant(t, "repository=read")
		g.Repositories, g.Narrowed = one.repositories, one.narrowed
		err := c.Check(g)
		require.Equal(t, one.ok, err == nil, "%v: %v", one.repositories, err)
		if !one.ok {
			require.ErrorContains(t, err, "repositories: ")
		}
	}
	for _, repositories := range [][]string{{"web-*"}, {"web", "we*"}, {".."}, {"web?x=1"}, {"web%2Fother"}, {"we b"}} {
		g := grant(t, "repository=read")
		g.Repositories = repositories
		_, err := c.Mint(t.Context(), g)
		require.Error(t, err, repositories)
	}
	g := grant(t, "repository=read")
	g.TokenID = ""
	_, err := c.Mint(t.Context(), g)
	require.ErrorContains(t, err, "needs a name")
	require.Empty(t, w.Live())
}

// TestEnds: a deploy token ends on its second, a project access token as the first
// possible day begins.
func TestEnds(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.token)
	deploy, _ := mint(t, c, "repository=read")
	require.Equal(t, time.Date(2026, 3, 14, 23, 5, 11, 0, time.UTC), deploy.ExpiresAt)
	require.Equal(t, "gitlab+deploy-token-", deploy.Username[:20])
	access, _ := mint(t, c, "repository=write")
	require.Equal(t, time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC), access.ExpiresAt)
	require.Equal(t, "oauth2", access.Username)
	w.advance(16 * time.Minute)
	require.False(t, w.IsLive(deploy.Secret))
	require.True(t, w.IsLive(access.Secret))
	w.advance(55 * time.Minute)
	require.False(t, w.IsLive(access.Secret))

	for end, want := range map[string]string{
		"2026-03-15T00:00:00Z":      "2026-03-15",
		"2026-03-15T00:00:00.001Z":  "2026-03-16",
		"2026-03-15T23:59:59Z":      "2026-03-16",
		"2026-03-15T01:30:00+02:00": "2026-03-15",
		"2026-12-31T12:00:00Z":      "2027-01-01",
	} {
		at, err := time.Parse(time.RFC3339, end)
		require.NoError(t, err)
		require.Equal(t, want, firstDate(at).Format(time.DateOnly), end)
	}
}
