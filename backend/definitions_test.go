// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"net/http"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
)

// definitions are two versions of everything that operators define, each with every
// field that it has; what is write-only is left out of the comparison.
func definitions(m *mount) map[string][2]map[string]any {
	key := identitytest.New(m.t, identitytest.Options{}).PublicKey()
	everyRole := roleData(map[string]any{
		"repositories": []string{"web", "acme/api", "svc-*"}, "permissions": []string{"contents=read", "checks=write"},
		"ttl": 120, "max_ttl": 600, "required_approvals": 2, "valid_from": "2030-01-01T00:00:00Z", "valid_until": "2031-01-01T00:00:00Z",
		"max_active": 5, "bound_cidrs": []string{"10.0.0.0/8", "2001:db8::/32", "192.0.2.1"}, "disabled": true,
		"single_use": true, "issuer": "actions", "bound_claims": []string{"repository=acme/web", "ref=refs/heads/*"},
	})
	return map[string][2]map[string]any{
		"issuers/actions": {
			{"public_keys": []string{key}, "bound_issuer": "https://ci.example.com", "audiences": []string{"vault", "other"}},
			{"public_keys": []string{key}, "bound_issuer": "https://ci.example.org", "audiences": []string{"vault"}, "config": "github"},
		},
		"roles/everything": {everyRole, roleData(nil)},
		"environments/everything": {
			{"description": "all", "ttl": 60, "max_ttl": 120, "required_approvals": 1, "destructive_approvals": 0, "require_identity": true,
				"bound_claims": []string{"ref=refs/heads/main"}, "allowed_stages": []string{"deploy", "build"}, "allowed_roles": []string{"deploy-*"}, "production": true},
			{"description": ""},
		},
		"stages/everything": {
			{"description": "all", "github": []string{"contents=write", "actions=read"}, "gitlab": []string{"repository=read"}, "gitea": []string{}},
			{"description": "less"},
		},
		"config/everything": {
			m.config(map[string]any{"request_timeout": 7, "max_concurrency": 9, "allowed_roles": []string{"b-*", "a-*"}, "ca_cert": "", "installation_id": ""}),
			m.config(nil),
		},
		"config/gitlab": {
			{"provider": "gitlab", "base_url": "https://gitlab.example.com/", "token": "glpat-not-a-real-one", "verify": false, "request_timeout": 3},
			{"provider": "gitlab", "base_url": "https://gitlab.example.com/", "token": "glpat-not-a-real-one", "verify": false},
		},
		"config/gitea": {
			{"provider": "gitea", "base_url": "https://gitea.example.com/git", "username": "bot", "password": "not a real one", "verify": false, "request_timeout": 4},
			{"provider": "gitea", "base_url": "https://gitea.example.com/git", "username": "bot", "password": "not a real one", "verify": false},
		},
		"settings": {
			{"closed_retention": 172800, "event_retention": 259200},
			{"closed_retention": 172800},
		},
	}
}

// order in which they can be written: roles refer to the others.
var order = []string{
	"issuers/actions", "config/everything", "config/gitlab", "config/gitea", "stages/everything", "environments/everything", "roles/everything", "settings",
}

var writeOnly = []string{"verify", "private_key", "token", "password"}

// readsBack holds that for each key that was written the same value is read: what
// Terraform compares.
func readsBack(t *testing.T, written, read map[string]any) {
	t.Helper()
	expected, got := throughJSON(t, written), map[string]any{}
	for _, field := range writeOnly {
		require.NotContains(t, read, field)
		delete(expected, field)
	}
	for field := range expected {
		got[field] = read[field]
	}
	require.Equal(t, expected, got)
}

func TestWhatIsWrittenReadsBackExactly(t *testing.T) {
	m := newMount(t)
	all := definitions(m)
	for _, path := range order {
		m.must(path, all[path][0])
		readsBack(t, all[path][0], m.read(path).data)
	}
}

func TestAWriteReplaces(t *testing.T) {
	m := newMount(t)
	all := definitions(m)
	for _, path := range order {
		m.must(path, all[path][1])
		fresh := m.read(path).data
		m.must(path, all[path][0])
		require.NotEqual(t, fresh, m.read(path).data)
		m.must(path, all[path][1])
		require.Equal(t, fresh, m.read(path).data, "%s: what is left out is as if it had never been written", path)
	}
}

func TestAPatchMerges(t *testing.T) {
	m := newMount(t)
	all := definitions(m)
	patches := map[string]map[string]any{
		"roles/everything": {"disabled": false}, "environments/everything": {"ttl": 30}, "stages/everything": {"gitlab": []string{}},
		"config/everything": {"max_concurrency": 3}, "config/gitlab": {"request_timeout": 4}, "config/gitea": {"allowed_roles": []string{"x"}},
		"issuers/actions": {"audiences": []string{"changed"}}, "settings": {"event_retention": 345600},
	}
	for _, path := range order {
		m.must(path, all[path][0])
		expected := m.read(path).data
		patch := changed(map[string]any{}, patches[path])
		if path == "config/gitlab" || path == "config/gitea" {
			patch["verify"] = false
		}
		m.patch(path, patch)
		for field, value := range throughJSON(t, patches[path]) {
			expected[field] = value
		}
		require.Equal(t, expected, m.read(path).data, path)
	}
	t.Run("null goes back to the default", func(t *testing.T) {
		m.patch("environments/everything", map[string]any{"ttl": nil, "allowed_roles": nil})
		got := m.read("environments/everything").data
		require.EqualValues(t, 0, got["ttl"])
		require.Equal(t, []any{"*"}, got["allowed_roles"])
	})
	t.Run("what is not there cannot be patched", func(t *testing.T) {
		for _, path := range []string{"roles/none", "environments/none", "stages/none", "config/none", "issuers/none"} {
			require.Equal(t, http.StatusNotFound, m.do(logical.PatchOperation, path, map[string]any{}).status, path)
		}
	})
}

func TestDeletesAreIdempotentAndWhatIsNotThereIs404(t *testing.T) {
	m := newMount(t)
	all := definitions(m)
	for _, path := range order {
		m.must(path, all[path][0])
	}
	for i := len(order) - 1; i >= 0; i-- {
		for range 2 {
			got := m.do(logical.DeleteOperation, order[i], nil)
			require.Equal(t, http.StatusNoContent, got.status, "%s: %s", order[i], got.err)
		}
		if order[i] != "settings" {
			require.Equal(t, http.StatusNotFound, m.read(order[i]).status, order[i])
		}
	}
	require.EqualValues(t, 30*24*3600, m.read("settings").data["closed_retention"], "settings go back to the defaults")
	require.Equal(t, http.StatusNotFound, m.read("tokens/2030050607-000000000000000000000000").status)
	require.Equal(t, http.StatusNotFound, m.read("explain/none").status)
}

func TestNamesAreListed(t *testing.T) {
	m := newMount(t)
	require.Equal(t, []any{"build", "deploy", "release", "test"}, m.do(logical.ListOperation, "stages", nil).data["keys"])
	require.Equal(t, []any{"github"}, m.do(logical.ListOperation, "config/", nil).data["keys"])
	require.Equal(t, []any{"dev"}, m.do(logical.ListOperation, "environments", nil).data["keys"])
	require.Equal(t, []any{"build-dev"}, m.do(logical.ListOperation, "roles/", nil).data["keys"])
	require.Equal(t, http.StatusNotFound, m.do(logical.ListOperation, "issuers/", nil).status, "no names is 404, as everywhere in Vault")
}

func TestTheBuiltInCeilings(t *testing.T) {
	m := newMount(t)
	for stage, ceilings := range map[string]map[string][]any{
		"build": {
			"github": {"contents=read", "packages=read", "actions=read", "metadata=read", "checks=write", "statuses=write"},
			"gitlab": {"repository=read", "registry=read", "packages=read"}, "gitea": {"repository=read", "package=read"},
		},
		"test": {
			"github": {"contents=read", "packages=read", "metadata=read", "checks=write", "statuses=write", "pull_requests=write"},
			"gitlab": {"repository=read", "registry=read", "packages=read"}, "gitea": {"repository=read", "package=read", "issue=write"},
		},
		"release": {
			"github": {"contents=write", "packages=write", "attestations=write", "statuses=write", "metadata=read"},
			"gitlab": {"repository=write", "registry=write", "packages=write"}, "gitea": {"repository=write", "package=write"},
		},
		"deploy": {
			"github": {"contents=read", "packages=read", "metadata=read", "actions=read", "deployments=write", "statuses=write"},
			"gitlab": {"repository=read", "registry=read", "packages=read"}, "gitea": {"repository=read", "package=read"},
		},
	} {
		got := m.read("stages/" + stage).data
		for platform, ceiling := range ceilings {
			require.ElementsMatch(t, ceiling, got[platform], "%s at %s", stage, platform)
		}
	}
}

func TestARoleOverItsCeilingIsRefusedWithEachExcessNamed(t *testing.T) {
	m := newMount(t)
	got := m.write("roles/greedy", roleData(map[string]any{
		"permissions": []string{"contents=write", "packages=read", "administration=write", "secrets=read", "checks=write"},
	}))
	require.Equal(t, http.StatusBadRequest, got.status)
	for _, excess := range []string{"contents=write (at most contents=read)", "administration=write (not allowed at all)", "secrets=read (not allowed at all)"} {
		require.Contains(t, got.err, excess)
	}
	require.NotContains(t, got.err, "packages")
	require.NotContains(t, got.err, "checks")
}

func TestACeilingThatIsLoweredLaterHoldsAtIssue(t *testing.T) {
	m := newMount(t)
	m.must("stages/build", map[string]any{"github": []string{"packages=read"}})
	got := m.read("creds/build-dev")
	require.Equal(t, http.StatusForbidden, got.status)
	require.Contains(t, got.err, "over the ceiling of stage \"build\": contents=read")
	require.Empty(t, m.do(logical.DeleteOperation, "stages/build", nil).err)
	m.issue("build-dev") // the built-in one has come back
}

func TestARoleThatCouldNeverIssueIsRefusedWhenItIsWritten(t *testing.T) {
	m := newMount(t)
	m.must("environments/closed", map[string]any{"allowed_roles": []string{"deploy-*"}, "allowed_stages": []string{"deploy"}})
	m.must("environments/prod", map[string]any{"production": true})
	for name, c := range map[string]struct {
		changes map[string]any
		says    string
	}{
		"no config":               {map[string]any{"config": nil}, "config: is required"},
		"no stage":                {map[string]any{"stage": nil}, "stage: is required"},
		"no environment":          {map[string]any{"environment": ""}, "environment: is required"},
		"no owner":                {map[string]any{"owner": nil}, "owner: is required"},
		"a blank purpose":         {map[string]any{"purpose": "  "}, "purpose: is required"},
		"no repositories":         {map[string]any{"repositories": nil}, "none never means all"},
		"empty repositories":      {map[string]any{"repositories": []string{}}, "none never means all"},
		"no permissions":          {map[string]any{"permissions": nil}, "none never means all"},
		"empty permissions":       {map[string]any{"permissions": ""}, "none never means all"},
		"a config that is none":   {map[string]any{"config": "none"}, `there is no config "none"`},
		"a stage that is none":    {map[string]any{"stage": "none"}, "there are [build deploy release test]"},
		"a place that is none":    {map[string]any{"environment": "none"}, `there is no environment "none"`},
		"a URL for a repository":  {map[string]any{"repositories": []string{"https://github.com/acme/web"}}, "repositories"},
		"a pattern of accounts":   {map[string]any{"repositories": []string{"ac*/web"}}, "without patterns"},
		"GitHub's own words":      {map[string]any{"permissions": []string{"contents:read"}}, "resource=level"},
		"a level that is none":    {map[string]any{"permissions": []string{"contents=all"}}, "read, write or admin"},
		"longer than its most":    {map[string]any{"ttl": 120, "max_ttl": 60}, "longer than max_ttl"},
		"a time that is none":     {map[string]any{"valid_until": "tomorrow"}, "valid_until"},
		"a time of another zone":  {map[string]any{"valid_until": "2031-01-01T00:00:00+02:00"}, "not in UTC"},
		"ended before it began":   {map[string]any{"valid_from": "2031-01-01T00:00:00Z", "valid_until": "2030-01-01T00:00:00Z"}, "after valid_from"},
		"an address that is none": {map[string]any{"bound_cidrs": []string{"localhost"}}, "bound_cidrs"},
		"claims, and no issuer":   {map[string]any{"bound_claims": []string{"repository=acme/web"}}, "issuer"},
		"another's place":         {map[string]any{"environment": "closed"}, "closed"},
		"production, unproven":    {map[string]any{"environment": "prod"}, "issuer"},
		"a misspelt field":        {map[string]any{"permission": []string{"contents=read"}}, "permission: is not a field of this path"},
	} {
		t.Run(name, func(t *testing.T) {
			got := m.write("roles/wrong", roleData(c.changes))
			require.Equal(t, http.StatusBadRequest, got.status, got.err)
			require.Contains(t, got.err, c.says)
			require.Equal(t, http.StatusNotFound, m.read("roles/wrong").status)
		})
	}
}

func TestProductionImplies(t *testing.T) {
	m := newMount(t)
	m.must("environments/prod", map[string]any{"production": true})
	got := m.read("environments/prod").data
	require.Equal(t, true, got["require_identity"])
	require.EqualValues(t, 1, got["required_approvals"])
	require.Equal(t, http.StatusBadRequest, m.write("environments/prod", map[string]any{"production": true, "required_approvals": 0}).status)
	require.Equal(t, http.StatusBadRequest, m.write("environments/prod", map[string]any{"production": true, "require_identity": false}).status)
}

func TestWhatIsInUseIsNotDeleted(t *testing.T) {
	m := newMount(t)
	m.must("stages/own", map[string]any{"github": []string{"contents=read"}})
	m.role("owned", map[string]any{"stage": "own"})
	for _, path := range []string{"environments/dev", "stages/own", "config/github"} {
		got := m.do(logical.DeleteOperation, path, nil)
		require.Equal(t, http.StatusConflict, got.status, path)
		require.Contains(t, got.err, "is used by")
	}
}

func TestWhatSurroundsARoleCanVanishAndThenTheGateIsShut(t *testing.T) {
	m := newMount(t)
	m.must("stages/build", map[string]any{"github": []string{"contents=read", "deployments=write"}})
	m.role("wide", map[string]any{"permissions": []string{"deployments=write"}})
	require.Empty(t, m.do(logical.DeleteOperation, "stages/build", nil).err, "a built-in one may go: it comes back")
	got := m.read("creds/wide")
	require.Equal(t, http.StatusForbidden, got.status)
	require.Contains(t, m.read("explain/wide").data["shut"], "stage")
}

func TestAnEnvironmentDoesNotStrandItsRoles(t *testing.T) {
	m := newMount(t)
	for _, demand := range []map[string]any{{"require_identity": true}, {"production": true}, {"bound_claims": []string{"ref=refs/heads/main"}}} {
		got := m.write("environments/dev", demand)
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Contains(t, got.err, "these have no issuer: build-dev")
	}
	m.issue("build-dev")
}
