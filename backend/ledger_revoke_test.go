// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

const revocations = "DELETE /installation/token"

var down = githubtest.Fault{Match: revocations, Status: http.StatusServiceUnavailable, Body: `{"message":"down"}`}

// runQueue lets the queue work for a time of the test's clock, second by second.
func (m *mount) runQueue(d time.Duration) {
	for range int(d / time.Second) {
		m.clock.advance(time.Second)
		m.engine.Revoke.RunQueue(m.t.Context())()
	}
}

func (m *mount) events(kind string) (found []map[string]any) {
	m.t.Helper()
	for _, line := range m.must("events", map[string]any{"limit": 1000}).data["events"].([]any) {
		var e map[string]any
		require.NoError(m.t, json.Unmarshal([]byte(line.(string)), &e))
		if e["type"] == kind {
			found = append(found, e)
		}
	}
	return found
}

func (m *mount) queueLength() int {
	m.t.Helper()
	return int(m.read("report").data["queue_length"].(float64))
}

func TestLedgerTheThirdTryOfVaultIsTheEngines(t *testing.T) {
	m := newMount(t)
	got := m.issue("build-dev")
	stop := m.github.Inject(down)
	for try := 1; try <= 2; try++ {
		require.Equal(t, http.StatusServiceUnavailable, m.revoke(got).status)
		require.Equal(t, "revoking", m.record(got)["status"])
		require.EqualValues(t, try, m.record(got)["attempts"])
		require.Contains(t, m.record(got)["last_error"], "down")
	}
	require.Empty(t, m.revoke(got).err)
	require.Empty(t, m.revoke(got).err, "nobody is told twice")
	require.Len(t, m.events("handed_over"), 1)
	require.Len(t, m.events("revocation_failed"), 1)
	require.Equal(t, false, m.read("report").data["queue_empty"])

	m.start() // another process owes it still
	require.Equal(t, 1, m.queueLength())
	stop()
	m.runQueue(2 * time.Second)
	require.Equal(t, "revoked", m.record(got)["status"])
	require.Equal(t, true, m.read("report").data["queue_empty"])
}

func TestLedgerAPlatformThatIsDownIsAskedEverMoreSeldom(t *testing.T) {
	m := newMount(t)
	var tokens []answer
	for range 50 {
		tokens = append(tokens, m.issue("build-dev"))
	}
	stop := m.github.Inject(down)
	for _, token := range tokens {
		m.revoke(token)
	}
	m.github.ClearRequests()
	m.runQueue(15 * time.Minute)
	asked := m.github.Counts()[revocations]
	t.Logf("%d requests in 15 minutes for 50 tokens", asked)
	require.Less(t, asked, 250)
	require.Equal(t, 50, m.queueLength())

	stop()
	back := m.clock.now()
	for m.github.Live() > 0 && m.clock.now().Sub(back) < 5*time.Minute {
		m.runQueue(time.Second)
	}
	t.Logf("all revoked %s after the platform is back", m.clock.now().Sub(back))
	require.Less(t, m.clock.now().Sub(back), 2*time.Minute)
}

func TestLedgerTheQueueObeysALimit(t *testing.T) {
	m := newMount(t)
	got := m.issue("build-dev")
	stop := m.github.Inject(githubtest.SecondaryLimit(http.StatusForbidden, 90))
	require.Equal(t, http.StatusTooManyRequests, m.revoke(got).status)
	stop()
	m.github.ClearRequests()
	m.runQueue(89 * time.Second)
	require.Zero(t, m.github.Counts()[revocations], "the platform said how long to wait")
	m.runQueue(20 * time.Second)
	require.Equal(t, "revoked", m.record(got)["status"])
}

func TestLedgerTokensThatFailByThemselvesHoldUpNoOther(t *testing.T) {
	m := newMount(t)
	m.github.AddRepositories("other", "web")
	m.github.AddInstallation(githubtest.Installation{AppID: m.app.ID, Account: "other"})
	m.must("config/both", m.config(map[string]any{"organization": nil}))
	m.role("acme", map[string]any{"config": "both", "repositories": []string{"acme/web"}})
	m.role("other", map[string]any{"config": "both", "repositories": []string{"other/web"}})
	var stuck []answer
	for range 20 {
		stuck = append(stuck, m.issue("acme"))
	}
	m.clock.advance(2 * time.Minute)
	m.github.Suspend(m.inst.ID) // its tokens are refused, and work again when it is lifted
	for _, token := range stuck {
		require.Equal(t, http.StatusServiceUnavailable, m.revoke(token).status)
	}
	m.runQueue(5 * time.Minute)

	good := m.issue("other")
	stop := m.github.Inject(down)
	require.Equal(t, http.StatusServiceUnavailable, m.revoke(good).status)
	stop()
	m.runQueue(2 * time.Minute)
	require.Equal(t, "revoked", m.record(good)["status"])
	require.Equal(t, 20, m.queueLength())

	m.github.Unsuspend(m.inst.ID)
	m.runQueue(2 * time.Minute)
	require.Zero(t, m.github.Live())
}

func TestLedgerSweep(t *testing.T) {
	t.Run("kills what is live past its lease and nothing else", func(t *testing.T) {
		m := newMount(t)
		lost := m.issue("build-dev")
		m.clock.advance(10 * time.Minute)
		current := m.issue("build-dev")
		m.clock.advance(5*time.Minute + 50*time.Second)
		require.NoError(t, m.engine.Revoke.Sweep(t.Context()))
		require.Equal(t, githubtest.Revoked, m.state(lost))
		require.Equal(t, "sweep", m.record(lost)["revoked_by"])
		require.Equal(t, githubtest.Live, m.state(current))
	})
	t.Run("does not storm a platform that is down", func(t *testing.T) {
		m := newMount(t)
		for range 200 {
			m.issue("build-dev")
		}
		m.clock.advance(20 * time.Minute)
		stop := m.github.Inject(down)
		m.github.ClearRequests()
		for range 30 {
			require.NoError(t, m.engine.Revoke.Sweep(t.Context()))
			m.runQueue(10 * time.Second)
		}
		require.Equal(t, 200, m.queueLength())
		require.Less(t, m.github.Counts()[revocations], 350)
		stop()
		m.runQueue(2 * time.Minute)
		require.Zero(t, m.github.Live())
	})
}

func TestLedgerKill(t *testing.T) {
	t.Run("each filter means what it says", func(t *testing.T) {
		for filter, value := range map[string]string{
			"role": "api", "stage": "test", "environment": "staging", "owner": "team-api", "config": "second", "repository": "acme/API", "entity_id": "entity-2",
		} {
			m := newMount(t)
			m.must("environments/staging", map[string]any{})
			m.must("config/second", m.config(nil))
			m.role("api", map[string]any{"stage": "test", "environment": "staging", "owner": "team-api", "config": "second", "repositories": []string{"api"}})
			other := m.issue("build-dev")
			meant := m.ask(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: "creds/api", EntityID: "entity-2"})
			require.Empty(t, meant.err)
			killed := m.must("revoke", map[string]any{filter: value}).data
			require.EqualValues(t, 1, killed["revoked"], filter)
			require.Equal(t, true, killed["done"])
			require.Equal(t, githubtest.Revoked, m.state(meant), filter)
			require.Equal(t, githubtest.Live, m.state(other), filter)
			require.Equal(t, "kill", m.record(meant)["revoked_by"])
		}
	})
	t.Run("without a filter is refused", func(t *testing.T) {
		require.Equal(t, http.StatusBadRequest, newMount(t).write("revoke", map[string]any{}).status)
	})
	t.Run("a hundred at once, the others by the queue, and the report tells", func(t *testing.T) {
		m := newMount(t)
		for range 250 {
			m.issue("build-dev")
		}
		killed := m.must("revoke", map[string]any{"owner": "team-web"}).data
		require.Equal(t, []any{250.0, 100.0, 150.0, false}, []any{killed["matched"], killed["revoked"], killed["queued"], killed["done"]})
		require.Equal(t, 150, m.github.Live())
		require.Empty(t, m.events("kill_done"))

		m.start() // a successor carries on
		require.NoError(t, m.engine.Revoke.RunKills(t.Context()))
		m.runQueue(2 * time.Second)
		require.NoError(t, m.engine.Revoke.RunKills(t.Context()))
		require.Zero(t, m.github.Live())
		order := m.read("report").data["kills"].([]any)[0].(map[string]any)
		require.Equal(t, true, order["done"])
		require.Len(t, m.events("kill_done"), 1)
		m.start()
		require.Empty(t, m.read("report").data["kills"], "and nobody carries it out again")
	})
	t.Run("what it queued is not renewed", func(t *testing.T) {
		m := newMount(t)
		got := m.issue("build-dev")
		stop := m.github.Inject(down)
		killed := m.must("revoke", map[string]any{"role": "build-dev"}).data
		require.EqualValues(t, 1, killed["queued"])
		require.Equal(t, http.StatusForbidden, m.renew(got, 0).status)
		m.start()
		require.Equal(t, http.StatusForbidden, m.renew(got, 0).status, "after a restart neither")
		stop()
		m.runQueue(time.Minute)
		require.Equal(t, "kill", m.record(got)["revoked_by"])
	})
	t.Run("mints in flight are caught", func(t *testing.T) {
		m := newMount(t)
		finish := m.mintInFlight("build-dev")
		m.must("revoke", map[string]any{"environment": "dev"})
		minted := finish()
		require.Equal(t, http.StatusForbidden, minted.status)
		require.Contains(t, minted.err, "kill")
		require.Zero(t, m.github.Live())
		require.Equal(t, githubtest.Live, m.state(m.issue("build-dev")), "the next is not meant")
	})
}
