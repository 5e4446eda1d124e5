// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// A read makes a token; its lease rules its life, whatever becomes of the caller,
// the plugin's process or the role.
func TestMainJob(t *testing.T) {
	j := newMainJob(t)
	t.Run("a step reads a token with the CLI, and revokes it", j.commandLine)
	t.Run("the end of the lease kills the token", j.leaseEnds)
	t.Run("a renewal prolongs it, up to max_ttl", j.renews)
	t.Run("a renewal is refused while a gate is shut", j.renewalRefused)
	t.Run("lease revoke -prefix kills all", j.revokesPrefix)
	t.Run("the end of the caller's own token kills what it read", j.parentDies)
	t.Run("a caller who hangs up leaves nothing live, 20 of 20", j.hangUp)
	t.Run("more than was asked is revoked and refused", j.grantsMore)
	t.Run("a platform that is down makes no lease irrevocable", j.platformDown)
	t.Run("a killed plugin process recovers", j.pluginKilled)
}

func (j *mainJob) commandLine(t *testing.T) {
	vault := j.For(t)
	read := vault.CLI("read", "-format=json", "ci/creds/build-dev")
	require.Zero(t, read.Code, read.Stderr)
	field := vault.CLI("read", "-field=token", "ci/creds/build-dev/web")
	require.Zero(t, field.Code, field.Stderr)
	token := strings.TrimSpace(field.Stdout)
	j.keep(token)
	require.Equal(t, githubtest.Live, j.github.StateOf(token))
	revoked := vault.CLI("lease", "revoke", "-sync", "-prefix", "ci/creds/build-dev")
	require.Zero(t, revoked.Code, revoked.Stderr)
	require.Equal(t, githubtest.Revoked, j.github.StateOf(token))
}

func (j *mainJob) leaseEnds(t *testing.T) {
	j.role("short", map[string]any{"ttl": 2, "max_ttl": 4})
	got := j.credential(t, "short", nil)
	require.Equal(t, 2*time.Second, got.LeaseDuration)
	require.Equal(t, githubtest.Live, j.github.StateOf(got.token))
	j.dies(t, got.token, 30*time.Second)
	eventually(t, 10*time.Second, "the record is closed", func() bool { return j.recorded(t, got.id)["status"] == "revoked" })
	require.Equal(t, "lease", j.recorded(t, got.id)["revoked_by"])
}

// sameSecond holds that the ledger and Vault see the same end of a lease: within a
// second, beside the one that a time in seconds cuts off.
func (j *mainJob) sameSecond(t *testing.T, got credential) {
	t.Helper()
	until, err := time.Parse(time.RFC3339, j.recorded(t, got.id)["lease_until"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, j.leaseEnd(t, got.LeaseID), until, 2*time.Second)
}

func (j *mainJob) renews(t *testing.T) {
	j.role("renewed", map[string]any{"ttl": 8, "max_ttl": 40})
	root := j.For(t).Root()
	got := j.credential(t, "renewed", nil)
	require.True(t, got.Renewable)
	j.sameSecond(t, got)
	first := j.leaseEnd(t, got.LeaseID)
	for _, increment := range []int{0, 20, 3600} {
		renewed := root.Write("sys/leases/renew", map[string]any{"lease_id": got.LeaseID, "increment": increment})
		require.NoError(t, renewed.Failure())
		require.Equal(t, got.LeaseID, renewed.LeaseID)
		j.sameSecond(t, got)
	}
	require.WithinDuration(t, first.Add(32*time.Second), j.leaseEnd(t, got.LeaseID), 3*time.Second, "max_ttl from the issue on is the end")
	require.Never(t, func() bool { return j.github.StateOf(got.token) != githubtest.Live }, time.Until(first)+2*time.Second, 200*time.Millisecond, "past its first end")
	require.NoError(t, root.Write("sys/leases/revoke", map[string]any{"lease_id": got.LeaseID, "sync": true}).Failure())
	require.Equal(t, githubtest.Revoked, j.github.StateOf(got.token))
}

func (j *mainJob) renewalRefused(t *testing.T) {
	root := j.For(t).Root()
	j.role("gated", nil)
	got := j.credential(t, "gated", nil)
	renew := func() world.Answer { return root.Write("sys/leases/renew", map[string]any{"lease_id": got.LeaseID}) }
	require.NoError(t, renew().Failure())
	for gate, patch := range map[string]map[string]any{
		"enabled":      {"disabled": true},
		"validity":     {"valid_until": "2020-01-01T00:00:00Z"},
		"repositories": {"repositories": []string{"api"}},
		"renewal":      {"permissions": []string{"checks=read"}},
	} {
		require.NoError(t, root.Patch("ci/roles/gated", patch).Failure())
		j.refused(t, renew(), http.StatusBadRequest, gate) // Vault's own status for a renewal that an engine refuses
		j.role("gated", nil)
		require.NoError(t, renew().Failure())
	}
	killed := root.Write("ci/tokens/"+got.id+"/revoke", nil)
	require.Equal(t, "revoked", killed.Data["status"])
	j.refused(t, renew(), http.StatusBadRequest, "renewal: the token is dead")
}

func (j *mainJob) revokesPrefix(t *testing.T) {
	j.role("many", nil)
	var tokens []string
	for range 10 {
		tokens = append(tokens, j.credential(t, "many", nil).token)
	}
	other := j.credential(t, "build-dev", nil)
	revoked := j.For(t).CLI("lease", "revoke", "-prefix", "ci/creds/many")
	require.Zero(t, revoked.Code, revoked.Stderr)
	for _, token := range tokens {
		j.dies(t, token, 30*time.Second)
	}
	require.Equal(t, githubtest.Live, j.github.StateOf(other.token))
}

func (j *mainJob) parentDies(t *testing.T) {
	vault := j.For(t)
	vault.Policy("build", `path "ci/creds/build-dev" { capabilities = ["read"] }`)
	step := vault.Root().Write("auth/token/create", map[string]any{"policies": []string{"build"}})
	require.NoError(t, step.Failure())
	caller := vault.As(step.Auth["client_token"].(string))
	got := caller.Read("ci/creds/build-dev")
	require.NoError(t, got.Failure())
	token := got.Data["token"].(string)
	j.keep(token)
	require.NoError(t, caller.Write("auth/token/revoke-self", nil).Failure())
	j.dies(t, token, 30*time.Second)
}

func (j *mainJob) hangUp(t *testing.T) {
	const callers = 20
	live, made, asked := j.github.Live(), len(j.github.Tokens()), j.mints()
	goOn := make(chan struct{})
	stop := j.github.Inject(githubtest.Fault{Match: mintPath, After: true, Hang: goOn})
	ctx, hangUp := context.WithCancel(t.Context())
	root := j.Vault.Vault.Root()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			_, err := root.Read(ctx, "ci/creds/build-dev")
			require.Error(t, err, "nobody waits for an answer")
		})
	}
	eventually(t, time.Minute, "GitHub has made all tokens", func() bool { return len(j.github.Tokens()) == made+callers })
	require.Equal(t, asked+callers, j.mints())
	hangUp()
	all.Wait()
	stop()
	close(goOn) // only now does the engine hear of the tokens
	began := time.Now()
	eventually(t, time.Minute, "all tokens are dead", func() bool { return j.github.Live() == live })
	t.Logf("%d of %d callers hung up; no token was live %s later", callers, callers, time.Since(began).Round(10*time.Millisecond))
	require.Len(t, j.github.Tokens(), made+callers)
}

func (j *mainJob) grantsMore(t *testing.T) {
	live := j.github.Live()
	j.github.Inject(githubtest.Fault{Match: mintPath, Times: 1, Excess: &githubtest.Excess{Permissions: map[string]string{"administration": "write"}}})
	answer := j.For(t).Root().Read("ci/creds/build-dev")
	require.Equal(t, http.StatusBadGateway, answer.Status)
	require.Contains(t, answer.Errors[0], "administration=write")
	require.Equal(t, live, j.github.Live())
}

func (j *mainJob) platformDown(t *testing.T) {
	vault := j.For(t)
	got := j.credential(t, "build-dev", nil)
	stop := j.github.Inject(githubtest.Fault{Match: "DELETE /installation/token", Status: http.StatusServiceUnavailable})
	// The third failing try is answered with success: the engine goes on alone.
	var answer world.Answer
	for range 3 {
		answer = vault.Root().Write("sys/leases/revoke", map[string]any{"lease_id": got.LeaseID, "sync": true})
	}
	require.NoError(t, answer.Failure())
	require.Equal(t, "revoking", j.recorded(t, got.id)["status"])
	require.Equal(t, http.StatusBadRequest, vault.Root().Write("sys/leases/lookup", map[string]any{"lease_id": got.LeaseID}).Status, "Vault has no lease any more")
	stop()
	j.dies(t, got.token, 3*time.Minute)
}

func (j *mainJob) pluginKilled(t *testing.T) {
	vault := j.For(t)
	j.role("before", map[string]any{"max_active": 2})
	before := j.credential(t, "before", nil)
	pids := vault.KillPlugins()
	require.NotEmpty(t, pids)
	eventually(t, time.Minute, "another has started and has counted what lives", func() bool {
		report := vault.Root().Read("ci/report")
		return report.Status == http.StatusOK && report.Data["counted"] == true
	})

	after := j.credential(t, "before", nil)
	require.Equal(t, githubtest.Live, j.github.StateOf(before.token))
	require.Equal(t, http.StatusForbidden, vault.Root().Read("ci/creds/before").Status, "what is counted was counted anew")
	require.NoError(t, vault.Root().Write("sys/leases/renew", map[string]any{"lease_id": before.LeaseID}).Failure())
	for _, got := range []credential{before, after} {
		require.NoError(t, vault.Root().Write("sys/leases/revoke", map[string]any{"lease_id": got.LeaseID, "sync": true}).Failure())
		require.Equal(t, githubtest.Revoked, j.github.StateOf(got.token))
	}
}
