// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// background does all that the worker does, for a time of the test's clock.
func (m *mount) background(d time.Duration) {
	m.t.Helper()
	ctx := m.t.Context()
	for range int(d / (5 * time.Second)) {
		m.clock.advance(5 * time.Second)
		m.engine.Revoke.RunQueue(ctx)()
		require.NoError(m.t, m.engine.Revoke.RunKills(ctx))
		require.NoError(m.t, m.engine.Revoke.Sweep(ctx))
		require.NoError(m.t, m.engine.Ledger.LookAgain(ctx, m.engine.Revoke.Adopt))
		require.NoError(m.t, m.engine.Ledger.Flush(ctx))
		m.engine.Issue.RevokeLost(ctx)
	}
}

// lostAnswer has writes of live records come through and look as if they had not.
func lostAnswer(op, key string) error {
	if op == "put" && strings.HasPrefix(key, "live/") {
		return errStorage
	}
	return nil
}

// A renewal that shortens a lease comes through and its answer does not. What is due
// then is swept all the same, and so is another token whose lease ends at the time.
func TestLedgerARenewalWhoseAnswerIsLostIsCountedAsItIs(t *testing.T) {
	m := newMount(t)
	m.role("build-dev", map[string]any{"ttl": 600, "max_ttl": 3000})
	first := m.issue("build-dev")
	m.clock.advance(5 * time.Minute)
	m.storage.watch(nil, lostAnswer)
	require.NotEmpty(t, m.renew(first, 20*time.Second).err)
	m.storage.watch(nil, nil)

	m.role("build-dev", map[string]any{"ttl": 20, "max_ttl": 3000})
	shard := func(of answer) string { return of.data["token_id"].(string)[:12] }
	second := m.issue("build-dev")
	for shard(second) != shard(first) {
		require.Empty(t, m.revoke(second).err)
		second = m.issue("build-dev")
	}
	require.Equal(t, m.record(first)["lease_until"], m.record(second)["lease_until"])
	m.clock.advance(10 * time.Second)
	require.Empty(t, m.revoke(first).err)
	m.background(time.Minute)
	require.Equal(t, githubtest.Revoked, m.state(second))

	m.background(10 * time.Minute) // past the end that the first one had before
	operations := 0
	m.storage.watch(func(string, string) error { operations++; return nil }, nil)
	require.NoError(t, m.engine.Revoke.Sweep(t.Context()))
	require.Zero(t, operations, "nothing is due")
}

// A record's first write comes through, its answer does not, and it cannot be undone.
func TestLedgerAnIssueWhoseAnswerIsLostIsClosed(t *testing.T) {
	deletions := func(op, key string) error {
		if op == "delete" && strings.HasPrefix(key, "live/") {
			return errStorage
		}
		return nil
	}
	writes := func(op, key string) error {
		if strings.HasPrefix(key, "live/") && op != "get" {
			return errStorage
		}
		return nil
	}
	for name, faults := range map[string][2]func(op, key string) error{
		"and the record is there":     {deletions, lostAnswer},
		"and the record is not there": {writes, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMount(t)
			m.role("build-dev", map[string]any{"ttl": 3000, "max_active": 1})
			m.storage.watch(faults[0], faults[1])
			require.Equal(t, http.StatusInternalServerError, m.read("creds/build-dev").status)
			m.storage.watch(nil, nil)
			require.Equal(t, 1, m.engine.Ledger.LiveOf("build-dev"), "it may be there, so it counts")
			require.NotEmpty(t, m.do(logical.DeleteOperation, "config/github", nil).err)
			there := len(m.storage.keys("live/"))
			m.background(30 * time.Second)
			require.Zero(t, m.github.Live())
			require.Empty(t, m.storage.keys("live/"))
			require.Zero(t, m.engine.Ledger.LiveOf("build-dev"))
			require.Zero(t, m.queueLength())
			require.Len(t, m.events("issued"), there)
			require.Len(t, m.events("revoked"), there)
			m.issue("build-dev")
		})
	}
}

// A process is killed while storage still writes its record, and the next one has
// counted what is there before the record is.
func TestLedgerARecordThatComesLateIsFound(t *testing.T) {
	m := newMount(t)
	g := m.addGitLab()
	m.role("pull", gitlabRole(map[string]any{"ttl": 3000}))
	seen, late := m.issue("pull"), m.issue("pull")
	_, suffix, _ := strings.Cut(late.data["token_id"].(string), "-")
	var key string
	for _, k := range m.storage.keys("live/") {
		if strings.HasSuffix(k, suffix) {
			key = k
		}
	}
	entry, err := m.storage.InmemStorage.Get(t.Context(), key)
	require.NoError(t, err)
	require.NoError(t, m.storage.InmemStorage.Delete(t.Context(), key))
	m.engine.Issue.RevokeLost(t.Context())
	m.start()
	require.NoError(t, m.storage.InmemStorage.Put(t.Context(), entry))
	require.Equal(t, 1, m.engine.Ledger.LiveOf("pull"))
	m.background(90 * time.Second)
	require.Len(t, g.Live(), 1)
	require.Equal(t, "revoked", m.record(late)["status"])
	require.Equal(t, "active", m.record(seen)["status"])
	require.Equal(t, []int{1, 1}, []int{m.told(late, "issued"), m.told(late, "revoked")})
	require.Equal(t, 1, m.engine.Ledger.LiveOf("pull"))
	require.Empty(t, m.revoke(seen).err)
	require.Zero(t, m.engine.Ledger.LiveOf("pull"))
}

// A platform lists a token, and its job ends before the ledger is asked for it.
func TestLedgerATokenOnRecordIsNoOrphan(t *testing.T) {
	m := newMount(t)
	g := m.addGitLab()
	got := m.issue("pull")
	m.start()
	var once atomic.Bool
	m.storage.watch(func(op, key string) error {
		if op == "get" && strings.HasPrefix(key, "live/") && once.CompareAndSwap(false, true) {
			require.Empty(t, m.revoke(got).err)
		}
		return nil
	}, nil)
	m.engine.Issue.RevokeLost(t.Context())
	m.storage.watch(nil, nil)
	require.True(t, once.Load())
	require.Empty(t, g.Live())
	require.Equal(t, "revoked", m.record(got)["status"])
	require.Empty(t, m.events("orphan_revoked"))
}
