// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

func TestWhatACallerNamesNarrows(t *testing.T) {
	m := newMount(t)
	m.role("two", map[string]any{"repositories": []string{"web", "acme/api"}, "permissions": []string{"contents=read", "checks=write"}})
	m.role("services", map[string]any{"repositories": []string{"svc-*"}})
	m.role("hidden", map[string]any{"repositories": []string{".github"}})
	for _, c := range []struct {
		path         string
		body         map[string]any
		repositories []any
		permissions  []any
	}{
		{"two", nil, []any{"web", "acme/api"}, []any{"contents=read", "checks=write"}},
		{"two/web", nil, []any{"web"}, []any{"contents=read", "checks=write"}},
		{"two/acme/web", nil, []any{"web"}, []any{"contents=read", "checks=write"}},
		{"two/ACME/Web", nil, []any{"web"}, []any{"contents=read", "checks=write"}},
		{"two/api", nil, []any{"acme/api"}, []any{"contents=read", "checks=write"}},
		{"two", map[string]any{"repositories": []string{"api"}}, []any{"acme/api"}, []any{"contents=read", "checks=write"}},
		{"two", map[string]any{"repositories": "web,api"}, []any{"web", "acme/api"}, []any{"contents=read", "checks=write"}},
		{"two", map[string]any{"repositories": []string{"web", "WEB", "acme/web"}}, []any{"web"}, []any{"contents=read", "checks=write"}},
		{"two", map[string]any{"permissions": []string{"checks=read"}}, []any{"web", "acme/api"}, []any{"checks=read"}},
		{"two/web", map[string]any{"permissions": []string{"contents=read"}}, []any{"web"}, []any{"contents=read"}},
		{"services/svc-a", nil, []any{"svc-a"}, []any{"contents=read"}},
		{"services/acme/svc-b", nil, []any{"svc-b"}, []any{"contents=read"}},
		{"services", map[string]any{"repositories": []string{"svc-a", "svc-b"}}, []any{"svc-a", "svc-b"}, []any{"contents=read"}},
		{"hidden/.github", nil, []any{".github"}, []any{"contents=read"}},
		{"hidden", nil, []any{".github"}, []any{"contents=read"}},
	} {
		t.Run(fmt.Sprint(c.path, c.body), func(t *testing.T) {
			got := m.write("creds/"+c.path, c.body)
			require.Equal(t, http.StatusOK, got.status, got.err)
			require.Equal(t, c.repositories, got.data["repositories"])
			require.Equal(t, c.permissions, got.data["permissions"])
			made := m.github.Tokens()[len(m.github.Tokens())-1]
			require.Len(t, made.Repositories, len(c.repositories), "the token itself is no wider")
			require.Len(t, made.Permissions, len(c.permissions)+1, "metadata=read is implied")
		})
	}
}

func TestWhatACallerNamesNeverWidens(t *testing.T) {
	m := newMount(t)
	m.github.AddRepositories("acme", "svc-a-private", "my-svc-a")
	m.github.SelectRepositories(m.inst.ID)
	m.role("services", map[string]any{"repositories": []string{"svc-*"}})
	for _, c := range []struct {
		path   string
		body   map[string]any
		status int
		says   string
	}{
		{"build-dev/api", nil, 403, `"api" is beyond role "build-dev"`},
		{"build-dev/umbrella/web", nil, 403, "beyond"},
		{"build-dev", map[string]any{"repositories": []string{"web", "api"}}, 403, "beyond"},
		{"build-dev", map[string]any{"repositories": []string{}}, 400, "none never means all"},
		{"build-dev", map[string]any{"repositories": ""}, 400, "none never means all"},
		{"build-dev", map[string]any{"permissions": []string{}}, 400, "none never means all"},
		{"build-dev", map[string]any{"permissions": []string{"contents=write"}}, 403, "contents=write (at most contents=read)"},
		{"build-dev", map[string]any{"permissions": []string{"administration=write"}}, 403, "administration=write (not allowed at all)"},
		{"build-dev", map[string]any{"permissions": []string{"contents"}}, 400, "resource=level"},
		{"build-dev", map[string]any{"permissions": []string{"contents=read", "contents=read"}}, 400, "twice"},
		{"build-dev/web", map[string]any{"repositories": []string{"web"}}, 400, "beside the repository in the path"},
		{"build-dev", map[string]any{"ttl": 0}, 400, "ttl"},
		{"build-dev", map[string]any{"ttl": "-5s"}, 400, "ttl"},
		{"build-dev", map[string]any{"ttl": "soon"}, 400, "ttl"},
		{"build-dev", map[string]any{"repositorys": []string{"web"}}, 400, `repositorys: is not a field of this path`},
		{"services", nil, 400, "name the repository"},
		{"services/svc-*", nil, 400, "not an exact repository"},
		{"services/web", nil, 403, "beyond"},
		{"services/my-svc-a", nil, 403, "beyond"},
		{"services/umbrella/svc-a", nil, 403, "beyond"},
		{"services/svc-a/..", nil, 400, "not an exact repository"},
		{"nowhere", nil, 404, `no role "nowhere"`},
	} {
		t.Run(fmt.Sprint(c.path, c.body), func(t *testing.T) {
			got := m.write("creds/"+c.path, c.body)
			require.Equal(t, c.status, got.status, got.err)
			require.Contains(t, got.err, c.says)
		})
	}
	require.Zero(t, m.github.Counts()[mintEndpoint], "GitHub was not even asked")
}

func TestProofsAreTakenFromABodyOnly(t *testing.T) {
	m := newMount(t)
	for _, field := range []string{"id_token", "approval_id"} {
		for _, path := range []string{"creds/build-dev", "creds/build-dev/web", "explain/build-dev"} {
			got := m.do(logical.ReadOperation, path, map[string]any{field: "a.b.c"})
			require.Equal(t, http.StatusBadRequest, got.status)
			require.Contains(t, got.err, field+": is taken from a request body only")
			require.NotContains(t, got.err, "a.b.c")
		}
	}
}

func TestEachCapOnALeaseIsSaid(t *testing.T) {
	m := newMount(t)
	m.role("long", map[string]any{"ttl": "3h", "max_ttl": "4h"})
	m.role("short", map[string]any{"ttl": 60, "max_ttl": 90})
	m.role("ending", map[string]any{"valid_until": "2030-05-06T07:10:09Z"})
	m.must("environments/tight", map[string]any{"ttl": 30, "max_ttl": 45})
	m.role("in-tight", map[string]any{"environment": "tight"})
	m.role("over-tight", map[string]any{"environment": "tight", "ttl": 300})
	for _, c := range []struct {
		role     string
		ask      map[string]any
		ttl, max time.Duration
		warns    string
	}{
		{"short", nil, time.Minute, 90 * time.Second, ""},
		{"short", map[string]any{"ttl": 20}, 20 * time.Second, 90 * time.Second, ""},
		{"short", map[string]any{"ttl": "10m"}, time.Minute, 90 * time.Second, `10m0s was asked, role "short" allows 1m0s`},
		{"long", nil, time.Hour, time.Hour, "platform"},
		{"in-tight", nil, 30 * time.Second, 45 * time.Second, ""},
		{"over-tight", nil, 45 * time.Second, 45 * time.Second, `max_ttl of environment "tight"`},
		{"ending", nil, 2 * time.Minute, 2 * time.Minute, "valid_until"},
	} {
		got := m.write("creds/"+c.role, c.ask)
		require.Equal(t, http.StatusOK, got.status, got.err)
		require.Equal(t, c.ttl, got.secret.TTL, "%s %v", c.role, c.ask)
		require.Equal(t, c.max, got.secret.MaxTTL, "%s %v", c.role, c.ask)
		if c.warns == "" {
			require.Empty(t, got.warnings)
			continue
		}
		require.Len(t, got.warnings, 1)
		require.Contains(t, got.warnings[0], c.warns)
	}
	t.Run("the mount's own", func(t *testing.T) {
		m.mostTTL = 50 * time.Second
		m.start()
		got := m.issue("build-dev")
		require.Equal(t, 50*time.Second, got.secret.TTL)
		require.Contains(t, got.warnings[0], "max_lease_ttl")
	})
}

func TestOneAppServesManyAccounts(t *testing.T) {
	m := newMount(t)
	m.github.AddRepositories("umbrella", "app")
	m.github.AddInstallation(githubtest.Installation{AppID: m.app.ID, Account: "umbrella"})
	m.github.AddUser("alice")
	m.github.AddRepositories("alice", "dotfiles")
	m.github.AddInstallation(githubtest.Installation{AppID: m.app.ID, Account: "alice"})
	m.role("umbrella", map[string]any{"repositories": []string{"umbrella/app"}})
	m.role("shouting", map[string]any{"repositories": []string{"UMBRELLA/App"}})
	m.role("person", map[string]any{"repositories": []string{"alice/dotfiles"}})
	m.role("stranger", map[string]any{"repositories": []string{"initech/app"}})

	require.Equal(t, "umbrella", m.issue("umbrella").data["organization"])
	require.Equal(t, "UMBRELLA", m.issue("shouting").data["organization"], "letter case is the role's own")
	require.Equal(t, "alice", m.issue("person").data["organization"], "users have installations too")
	got := m.read("creds/stranger")
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.err, "is not installed on initech")
	for i, account := range []string{"umbrella", "umbrella", "alice"} {
		require.Equal(t, account, m.github.Tokens()[i].Account)
	}
	mixed := m.write("roles/mixed", roleData(map[string]any{"repositories": []string{"web", "umbrella/app"}}))
	require.Equal(t, http.StatusBadRequest, mixed.status)
	require.Contains(t, mixed.err, "one role, one account")
}

func TestAnInstallationIsLookedUpOnceAndKept(t *testing.T) {
	const lookup = "GET /orgs/{org}/installation"
	m := newMount(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { m.read("creds/build-dev") })
	}
	all.Wait()
	require.Equal(t, 20, m.github.Live())
	require.Equal(t, 1, m.github.Counts()[lookup], "one flight for many callers")

	m.clock.advance(time.Hour)
	broken := m.github.Inject(githubtest.Fault{Match: "GET /orgs/*/installation", Status: http.StatusBadGateway})
	m.issue("build-dev")
	require.Equal(t, 2, m.github.Counts()[lookup], "a failed lookup keeps what was found while minting works")
	broken()

	m.github.Uninstall(m.inst.ID)
	m.github.AddInstallation(githubtest.Installation{AppID: m.app.ID, Account: "acme"})
	m.issue("build-dev")
	require.Equal(t, 3, m.github.Counts()[lookup], "a 404 drops it, and the new installation is found at once")
}
