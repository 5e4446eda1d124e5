// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
)

// proven makes the role deploy, which takes an id_token once and an approval once,
// and gives the issuer of its jobs.
func (m *mount) proven(t *testing.T) *identitytest.Issuer {
	t.Helper()
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256, Now: m.clock.now})
	m.must("issuers/ci", map[string]any{"preset": "github-actions", "discovery_url": issuer.URL(), "audiences": identitytest.Audience, "config": "github"})
	m.must("environments/live", nil)
	m.role("deploy", map[string]any{
		"environment": "live", "issuer": "ci", "single_use": true, "required_approvals": 1,
		"bound_claims": []string{"ref=refs/heads/main"}, "repositories": []string{"{{claims.repository}}"},
	})
	return issuer
}

// jobs are those of a run that octocat started.
func jobs() identitytest.Claims { return identitytest.GitHub() }

// approved asks as alice and approves as bob.
func (m *mount) approved(t *testing.T, idToken string) string {
	t.Helper()
	id := m.as("alice").must("approvals/deploy", map[string]any{"reason": "release", "id_token": idToken}).data["approval_id"].(string)
	m.as("bob").must("approvals/deploy/"+id+"/approve", nil)
	return id
}

func TestAnIssueThatStorageFailsUsesNothingUp(t *testing.T) {
	m := newMount(t)
	issuer := m.proven(t)
	eachFault(t, m, func(act func(func() answer) (answer, string)) {
		proof := issuer.Mint(jobs())
		body := map[string]any{"id_token": proof, "approval_id": m.approved(t, proof)}
		got, failed := act(func() answer { return m.as("alice").write("creds/deploy", body) })
		if failed != "" {
			require.Equal(t, http.StatusInternalServerError, got.status, "%s failed: %s", failed, got.err)
			require.Zero(t, m.github.Live(), "%s failed", failed)
			got = m.as("alice").write("creds/deploy", body)
		}
		require.Equal(t, http.StatusOK, got.status, "%s failed: %s", failed, got.err)
		again := m.as("alice").write("creds/deploy", body)
		require.Equal(t, http.StatusForbidden, again.status)
		require.Contains(t, again.err, "single_use: this id_token has had its credential")
		body["id_token"] = issuer.Mint(jobs())
		again = m.as("alice").write("creds/deploy", body)
		require.Equal(t, http.StatusForbidden, again.status)
		require.Contains(t, again.err, "is used")
		require.Empty(t, m.revoke(got).err)
	})
}

func TestAnApprovalEndsByItself(t *testing.T) {
	m := newMount(t)
	issuer := m.proven(t)
	use := func(id string) answer {
		return m.as("alice").write("creds/deploy", map[string]any{"id_token": issuer.Mint(jobs()), "approval_id": id})
	}
	inTime, late := m.approved(t, issuer.Mint(jobs())), m.approved(t, issuer.Mint(jobs()))
	undecided := m.as("alice").must("approvals/deploy", map[string]any{"reason": "release", "id_token": issuer.Mint(jobs())})
	require.Equal(t, "2030-05-06T08:08:09Z", undecided.data["expires_at"])
	m.clock.advance(15*time.Minute - time.Second)
	require.Equal(t, http.StatusOK, use(inTime).status)
	m.clock.advance(time.Second)
	require.Contains(t, use(late).err, "is expired; ask with: vault write")
	id := undecided.data["approval_id"].(string)
	m.clock.advance(45 * time.Minute)
	require.Equal(t, http.StatusConflict, m.as("bob").write("approvals/deploy/"+id+"/approve", nil).status)
	require.Equal(t, "expired", m.read("approvals/deploy/" + id).data["status"])
}

func TestARenewalHoldsTheJobAgainstTheRoleAsItIsNow(t *testing.T) {
	m := newMount(t)
	issuer := m.proven(t)
	proof := issuer.Mint(jobs())
	got := m.as("alice").write("creds/deploy", map[string]any{"id_token": proof, "approval_id": m.approved(t, proof)})
	require.Equal(t, http.StatusOK, got.status, got.err)
	require.Equal(t, []any{"acme/web"}, got.data["repositories"])
	got.secret.IssueTime = m.clock.now() // as Vault's core does
	require.Empty(t, m.renew(got, 0).err, "neither the id_token nor the approval is asked for twice")
	for _, change := range []struct {
		path string
		data map[string]any
		says string
	}{
		{"roles/deploy", map[string]any{"bound_claims": []string{"ref=refs/tags/*"}}, `claim ref is "refs/heads/main"`},
		{"environments/live", map[string]any{"bound_claims": []string{"environment=prod"}}, "bound_claims of environment live: claim environment is missing"},
		{"roles/deploy", map[string]any{"repositories": []string{"api"}}, `"acme/web" is beyond role "deploy"`},
		{"roles/deploy", map[string]any{"required_approvals": 2}, "2 other(s) must approve now, and 1 did"},
		{"roles/deploy", map[string]any{"bound_cidrs": []string{"10.0.0.0/8"}}, "caller_address: "},
	} {
		before := m.read(change.path).data
		m.patch(change.path, change.data)
		require.Contains(t, m.renew(got, 0).err, change.says)
		m.must(change.path, before)
		require.Empty(t, m.renew(got, 0).err, "as it was")
	}
}

func TestExplainNamesEachGate(t *testing.T) {
	m := newMount(t)
	issuer := m.proven(t)
	proof := issuer.Mint(jobs())
	id := m.approved(t, proof)
	for _, c := range []struct {
		what string
		body map[string]any
		shut []any
	}{
		{"nothing shown", nil, []any{"identity", "repositories", "single_use", "approval"}},
		{"an id_token alone", map[string]any{"id_token": proof}, []any{"approval"}},
		{"both", map[string]any{"id_token": proof, "approval_id": id}, []any{}},
		{"both, for another repository", map[string]any{"id_token": proof, "approval_id": id, "repositories": "api"}, []any{"repositories"}},
		{"both, for more", map[string]any{"id_token": proof, "approval_id": id, "permissions": "contents=write"}, []any{"permissions"}},
		{"another run's", map[string]any{"id_token": issuer.Mint(jobs().With(identitytest.Claims{"run_id": "1"})), "approval_id": id}, []any{"approval"}},
		{"a token cut short", map[string]any{"id_token": proof[:len(proof)-8], "approval_id": id}, []any{"identity", "repositories", "single_use", "approval"}},
	} {
		got := m.as("alice").write("explain/deploy", c.body)
		require.Equal(t, http.StatusOK, got.status, c.what)
		require.Equal(t, c.shut, got.data["shut"], c.what)
		require.Equal(t, len(c.shut) == 0, got.data["allowed"], c.what)
		require.NotContains(t, strings.ToLower(strings.Join(texts(got.data["gates"]), "\n")), "invalid token")
	}
	require.Empty(t, m.github.Tokens(), "nothing was made")
	got := m.as("alice").write("creds/deploy", map[string]any{"id_token": proof, "approval_id": id})
	require.Equal(t, http.StatusOK, got.status, "and nothing was used up: %s", got.err)
}

func texts(list any) []string {
	var all []string
	for _, item := range list.([]any) {
		all = append(all, item.(string))
	}
	return all
}
