// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// realtimeEnv makes the platform's outage last as long as it says (15m), with Vault
// left to its own pace. Without it the outage lasts seconds, and an operator's
// synchronous revocations stand in for the later tries of Vault's.
const realtimeEnv = "CI_LEDGER_REALTIME"

const recovery = 2 * time.Minute

// Vault gives up on a lease after six failed tries, about ten minutes, and holds it
// as irrevocable for ever.
func TestLedgerOutageOfThePlatform(t *testing.T) {
	t.Parallel()
	s := newStand(t, world.Options{}, githubtest.Options{})
	s.role("short", map[string]any{"ttl": 5, "max_ttl": 5})
	stop := s.github.Inject(githubtest.Fault{
		Match: "DELETE /installation/token", Status: http.StatusServiceUnavailable, Body: `{"message":"down for maintenance"}`,
	})
	began := time.Now()
	tokens := issueMany(t, s.root, "short", 50)

	eventually(t, time.Minute, "every record revoking", func() bool { return s.revoking(tokens) })
	t.Logf("all 50 are revoking after %s", time.Since(began).Round(time.Millisecond))
	if long, set := os.LookupEnv(realtimeEnv); set {
		length, err := time.ParseDuration(long)
		require.NoError(t, err)
		s.watch(t, began, length)
	} else {
		s.standIn(t, tokens)
	}

	require.Zero(t, s.irrevocable(t), "irrevocable leases")
	require.Zero(t, s.leases("short"), "each lease has been handed over")
	require.True(t, s.revoking(tokens))
	for _, token := range tokens {
		r := record(t, s.root, token.id)
		require.Contains(t, r["last_error"], "down for maintenance")
		require.GreaterOrEqual(t, number(t, r["attempts"]), 3)
		require.Equal(t, githubtest.Live, s.github.StateOf(token.token))
	}
	report := s.root.Read("ci/report").Data
	require.Equal(t, false, report["queue_empty"], "the mount must not be disabled now")
	require.Equal(t, 50, number(t, report["queue_length"]))

	stop()
	back := time.Now()
	eventually(t, recovery, "all revoked", func() bool { return s.github.Live() == 0 })
	t.Logf("all 50 are revoked %s after the platform is back", time.Since(back).Round(time.Millisecond))
	eventually(t, time.Minute, "the queue is empty", func() bool {
		return s.root.Read("ci/report").Data["queue_empty"] == true
	})
	events := eventsOf(t, s.root)
	for _, token := range tokens {
		require.Equal(t, 1, timesTold(events, "handed_over", token.id))
		require.Equal(t, 1, timesTold(events, "revocation_failed", token.id))
		require.Equal(t, "revoked", record(t, s.root, token.id)["status"])
	}
	requireTruth(t, s.root, events)
}

func (s *stand) revoking(tokens []issued) bool {
	info, _ := s.root.List("ci/tokens").Data["key_info"].(map[string]any)
	for _, token := range tokens {
		line, _ := info[token.id].(map[string]any)
		if line["status"] != "revoking" || line["last_error"] == "" {
			return false
		}
	}
	return true
}

// irrevocable is how many leases Vault has given up on.
func (s *stand) irrevocable(t *testing.T) int {
	t.Helper()
	answer := s.root.Read("sys/leases/count?type=irrevocable")
	require.NoError(t, answer.Failure())
	return number(t, answer.Data["lease_count"])
}

// leases is how many leases of a role Vault holds.
func (s *stand) leases(role string) int {
	keys, _ := s.root.List("sys/leases/lookup/ci/creds/" + role).Data["keys"].([]any)
	return len(keys)
}

// standIn makes an operator's tries stand in for Vault's: two fail towards whoever
// asks, the third is answered with success.
func (s *stand) standIn(t *testing.T, tokens []issued) {
	t.Helper()
	for _, token := range tokens {
		tries := 1 // Vault's own, when the lease ended
		for ; ; tries++ {
			answer := s.root.Write("sys/leases/revoke", map[string]any{"lease_id": token.lease, "sync": true})
			if answer.Failure() == nil {
				break
			}
			require.Contains(t, answer.Failure().Error(), "down for maintenance")
		}
		require.LessOrEqual(t, tries, 2, "failed tries before the engine takes over")
	}
}

// watch leaves Vault alone until the outage is over, and tells how it fares.
func (s *stand) watch(t *testing.T, began time.Time, length time.Duration) {
	t.Helper()
	for left := length - time.Since(began); left > 0; left = length - time.Since(began) {
		time.Sleep(min(left, 30*time.Second))
		t.Logf("%s: %d leases held by Vault, %d irrevocable, %d tokens live, %d requests to the platform",
			time.Since(began).Round(time.Second), s.leases("short"), s.irrevocable(t), s.github.Live(),
			s.github.Counts()["DELETE /installation/token"])
	}
}
