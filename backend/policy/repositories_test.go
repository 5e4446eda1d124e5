// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func TestARolesRepositories(t *testing.T) {
	for _, c := range []struct {
		list []string
		says string
	}{
		{[]string{"web"}, ""},
		{[]string{"web", "acme/api", "ACME/tools"}, ""},
		{[]string{".github", "svc-*", "*"}, ""},
		{[]string{"group/sub/web", "group/sub/api"}, ""},
		{[]string{"web", "umbrella/app"}, "one role, one account"},
		{[]string{""}, "is not a repository"},
		{[]string{"."}, "is not a repository"},
		{[]string{"acme/.."}, "is not a repository"},
		{[]string{"acme/"}, "is not a repository"},
		{[]string{"/web"}, "names no account"},
		{[]string{"*/web"}, "without patterns"},
		{[]string{"ac*/web"}, "without patterns"},
		{[]string{"svc-**"}, "write * once"},
		{[]string{"we b"}, "is not a repository"},
		{[]string{"web\n"}, "is not a repository"},
		{[]string{"web?"}, "is not a repository"},
		{[]string{"https://example.com/acme/web"}, "written out"},
	} {
		t.Run(strings.Join(c.list, " "), func(t *testing.T) {
			_, err := ParseRepositories(c.list, "acme")
			says(t, err, fault.Invalid, c.says)
		})
	}
	_, err := ParseRepositories([]string{"web"}, "")
	says(t, err, fault.Invalid, "names no account and the config has no default one")
}

func TestWhatACallerNames(t *testing.T) {
	for _, c := range []struct {
		role, asked []string
		names       string
		kind        fault.Kind
		says        string
	}{
		{[]string{"web", "acme/api"}, []string{"api"}, "acme/api", 0, ""},
		{[]string{"web"}, []string{"ACME/WEB"}, "web", 0, ""},
		{[]string{"web"}, []string{"web", "acme/web"}, "web", 0, ""},
		{[]string{"svc-*"}, []string{"svc-a"}, "svc-a", 0, ""},
		{[]string{"acme/svc-*"}, []string{"SVC-a"}, "acme/SVC-a", 0, ""},
		{[]string{"web"}, []string{"api"}, "", fault.Denied, "beyond"},
		{[]string{"web"}, []string{"umbrella/web"}, "", fault.Denied, "beyond"},
		{[]string{"svc-*"}, []string{"my-svc-a"}, "", fault.Denied, "beyond"},
		{[]string{"*-svc"}, []string{"a-svc-b"}, "", fault.Denied, "beyond"},
		{[]string{"svc.*"}, []string{"svcxa"}, "", fault.Denied, "beyond"},
		{[]string{"svc-*"}, []string{"svc-*"}, "", fault.Invalid, "not an exact repository"},
		{[]string{"*"}, []string{"*"}, "", fault.Invalid, "not an exact repository"},
		{[]string{"*"}, []string{".."}, "", fault.Invalid, "not an exact repository"},
		{[]string{"web"}, []string{""}, "", fault.Invalid, "not an exact repository"},
		{[]string{"web"}, []string{}, "", fault.Invalid, "none never means all"},
	} {
		t.Run(fmt.Sprint(c.role, c.asked), func(t *testing.T) {
			entries, err := ParseRepositories(c.role, "acme")
			require.NoError(t, err)
			reach, err := Narrow(webRole(), entries, c.asked, true)
			says(t, err, c.kind, c.says)
			require.Equal(t, c.names, strings.Join(reach.Written, " "))
		})
	}
	t.Run("nothing, where the role has a pattern", func(t *testing.T) {
		entries, err := ParseRepositories([]string{"web", "svc-*"}, "acme")
		require.NoError(t, err)
		_, err = Narrow(webRole(), entries, nil, false)
		says(t, err, fault.Invalid, "name the repository")
	})
	t.Run("nothing, where the role has none", func(t *testing.T) {
		_, err := Narrow(webRole(), nil, nil, false)
		says(t, err, fault.Denied, "names none")
	})
}

// Whatever a caller names, every repository that comes of it is one that the role
// allows, on the role's own account, and there is at least one.
func TestNarrowingRepositoriesNeverWidens(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"a", "b", "-", ".", "_", "A", "0"}
	word := func(letters []string) string {
		var b strings.Builder
		for range 1 + random.IntN(5) {
			b.WriteString(letters[random.IntN(len(letters))])
		}
		return b.String()
	}
	granted := 0
	for range 20_000 {
		var list, asked []string
		for range 1 + random.IntN(3) {
			list = append(list, word(append(alphabet, "*")))
		}
		for range random.IntN(4) {
			name := word(append(alphabet, "*", "/"))
			if random.IntN(2) == 0 { // often one of the role's own, filled in
				name = strings.ReplaceAll(list[random.IntN(len(list))], "*", word(alphabet))
			}
			if random.IntN(4) == 0 {
				name = []string{"acme/", "ACME/", "evil/", "/", "../"}[random.IntN(5)] + name
			}
			asked = append(asked, name)
		}
		entries, err := ParseRepositories(list, "acme")
		if err != nil {
			continue
		}
		reach, err := Narrow(webRole(), entries, asked, random.IntN(5) > 0)
		if err != nil {
			require.Empty(t, reach.Names)
			continue
		}
		granted++
		require.NotEmpty(t, reach.Names)
		require.Equal(t, "acme", strings.ToLower(reach.Account))
		for _, name := range reach.Names {
			require.False(t, strings.ContainsAny(name, "*/"), "role %q, asked %q", list, asked)
			require.True(t, slices.ContainsFunc(list, func(pattern string) bool {
				ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(name))
				return err == nil && ok
			}), "%q is not of role %q, asked %q", name, list, asked)
		}
	}
	require.Greater(t, granted, 1000, "that something was granted at all")
}

// Whatever a caller names, every permission that comes of it is one that the role
// has, at its level or below.
func TestNarrowingPermissionsNeverWidens(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	ranks := map[providers.Level]int{"read": 1, "write": 2, "admin": 3}
	list := func() (all []string) {
		for range random.IntN(4) {
			resource := []string{"a", "b", "c", "A", ""}[random.IntN(5)]
			level := []string{"read", "write", "admin", "all", ""}[random.IntN(5)]
			all = append(all, resource+"="+level)
		}
		return all
	}
	granted := 0
	for range 20_000 {
		role := webRole(func(r *Role) { r.Permissions = list() })
		allowed, err := providers.ParsePermissions("permissions", role.Permissions)
		if err != nil {
			continue
		}
		named := random.IntN(4) > 0
		got, err := NarrowPermissions(role, list(), named)
		if err != nil {
			require.Empty(t, got)
			continue
		}
		granted++
		for _, p := range got {
			require.True(t, slices.ContainsFunc(allowed, func(a providers.Permission) bool {
				return a.Resource == p.Resource && ranks[a.Level] >= ranks[p.Level]
			}), "%s is not of %q", p, role.Permissions)
		}
		require.True(t, !named || len(got) > 0)
	}
	require.Greater(t, granted, 1000)
}
