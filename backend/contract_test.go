// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// Names are part of storage keys, and two dots are what Vault's storage refuses.
func TestANameWithTwoDotsIsNotThere(t *testing.T) {
	m := newMount(t)
	for _, path := range []string{
		"config/a..b", "stages/a..b", "environments/a..b", "roles/a..b", "issuers/a..b", "creds/a..b", "explain/a..b",
		"approvals/a..b", "approvals/a..b/x", "approvals/build-dev/a..b", "tokens/a..b", "rotate-root/a..b",
	} {
		for _, op := range []logical.Operation{logical.ReadOperation, logical.UpdateOperation, logical.PatchOperation, logical.ListOperation, logical.DeleteOperation} {
			got := m.do(op, path, nil)
			require.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, got.status, "%s %s: %s", op, path, got.err)
		}
	}
	for _, name := range []string{"a.b", "a-b", "a--b", "a.-b", "a_b.c-d", "x"} {
		require.Equal(t, http.StatusNoContent, m.write("environments/"+name, nil).status, name)
	}
	for _, field := range []string{"config", "stage", "environment", "issuer"} {
		for _, name := range []string{"../x", "..", "a/../b"} {
			got := m.write("roles/r", roleData(map[string]any{field: name}))
			require.Equal(t, http.StatusBadRequest, got.status, "%s=%s: %s", field, name, got.err)
			require.Contains(t, got.err, field+": ", name)
		}
	}
}

// What a platform says of itself may hold what nobody should see.
func TestWhatAPlatformSaysIsShownWithoutSecrets(t *testing.T) {
	m := newMount(t)
	secrets := []string{"ghs_0123456789abcdefABCDEF0123456789abcd", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"}
	for _, status := range []int{401, 403, 422, 429, 500} {
		m.github.Inject(githubtest.Fault{
			Match: "POST /app/installations/*/access_tokens", Times: 1, Status: status,
			Body: fmt.Sprintf(`{"message":"Invalid token %s, and Bearer %s"}`, secrets[0], secrets[1]),
		})
		got := m.read("creds/build-dev")
		require.GreaterOrEqual(t, got.status, 400)
		require.NotContains(t, strings.ToLower(got.err), "invalid token")
		for _, secret := range secrets {
			require.NotContains(t, got.err, secret, "status %d", status)
		}
		m.clock.advance(2 * time.Hour)
	}
	m.role("off", map[string]any{"owner": "invalid token", "disabled": true})
	require.Contains(t, m.read("creds/off").err, "its owner (invalid_token)")
	for _, secret := range secrets {
		require.NotContains(t, m.log.String(), secret)
	}
}

// A token that was pasted or read from a file has a line end behind it.
func TestATokenIsKnownWithItsLineEnd(t *testing.T) {
	m := newMount(t)
	credential := m.issue("build-dev")
	token := credential.data["token"].(string)
	require.Equal(t, true, m.must("introspect", map[string]any{"token": token + "\n"}).data["active"])
	m.caller = "somebody-else"
	m.must("tokens/"+credential.data["token_id"].(string)+"/use", map[string]any{"action": "push", "token": " " + token + "\r\n"})
	found := m.must("exposed", map[string]any{"token": token + "\n", "where": "a paste"})
	require.Equal(t, []any{true, true}, []any{found.data["ours"], found.data["was_live"]})
	require.Equal(t, githubtest.Revoked, m.state(credential))
	stranger := m.must("exposed", map[string]any{"token": token[:len(token)-1]})
	require.Equal(t, false, stranger.data["ours"])
	require.Contains(t, fmt.Sprint(stranger.warnings), "no token of ours")
}

// The report counts what was issued before it was asked for.
func TestTheReportKnowsOfTheLastIssue(t *testing.T) {
	m := newMount(t)
	m.issue("build-dev")
	row := m.read("report").data["roles"].([]any)[0].(map[string]any)
	require.Equal(t, []any{1.0, 1.0, false}, []any{row["live"], row["issued_1d"], row["idle_30d"]}, row)
	require.NotEmpty(t, row["last_issued_at"])
}

// What explain promises is what a read of creds gives, and what creds would refuse
// without asking anybody explain refuses too.
func TestExplainSaysWhatCredsDo(t *testing.T) {
	m := newMount(t)
	m.role("long", map[string]any{"ttl": "3h", "max_ttl": "4h", "repositories": []string{"web", "api"}})
	explained, got := m.read("explain/long").data, m.issue("long")
	require.Equal(t, explained["ttl"], got.secret.TTL.Seconds())
	require.Equal(t, explained["max_ttl"], got.secret.MaxTTL.Seconds())
	require.Equal(t, explained["repositories"], got.data["repositories"])
	require.Equal(t, explained["permissions"], got.data["permissions"])
	require.Equal(t, 3600.0, explained["ttl"], "no token of GitHub's lives longer")

	m.addGitLab()
	m.role("any", gitlabRole(map[string]any{"repositories": "acme/*"}))
	both := map[string]any{"repositories": []string{"acme/web", "acme/api"}}
	refused := m.write("creds/any", both)
	require.Equal(t, http.StatusBadRequest, refused.status)
	explained = m.must("explain/any", both).data
	require.Equal(t, false, explained["allowed"])
	require.Contains(t, fmt.Sprint(explained["gates"]), refused.err)
}

// A write replaces, and says so where that opens what was shut.
func TestAWriteThatLoosensAnEnvironmentWarns(t *testing.T) {
	m := newMount(t)
	strict := map[string]any{"production": true, "bound_claims": []string{"environment=prod"}, "required_approvals": 2}
	m.must("environments/prod", strict)
	require.Empty(t, m.must("environments/prod", strict).warnings)
	require.Empty(t, m.do(logical.PatchOperation, "environments/prod", map[string]any{"required_approvals": 1}).warnings, "who patches means it")
	require.Contains(t, fmt.Sprint(m.must("environments/prod", map[string]any{"description": "where customers are"}).warnings),
		"looser than before: bound_claims, production, require_identity, required_approvals")
}

func TestBoundCIDRsAreRangesThatACallerCanBeIn(t *testing.T) {
	m := newMount(t)
	m.role("near", map[string]any{"bound_cidrs": []string{"::ffff:127.0.0.1", "10.0.0.0/8", "fd00::/8"}})
	from := &logical.Connection{RemoteAddr: "127.0.0.1"}
	got := m.ask(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: "creds/near", Connection: from})
	require.Equal(t, http.StatusOK, got.status, got.err)
	for _, never := range []string{"fe80::1%eth0", "::ffff:10.0.0.0/104", "10.0.0.0/33", "here"} {
		got := m.write("roles/never", roleData(map[string]any{"bound_cidrs": []string{never}}))
		require.Equal(t, http.StatusBadRequest, got.status, never)
		require.Contains(t, got.err, "bound_cidrs: ")
	}
}
