// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
)

// What the ledger reads goes with what is due and with the hours that live tokens
// span, not with how many tokens there are.
func TestLedgerReadsGoWithWhatIsDue(t *testing.T) {
	few, many := readsWith(t, 1_000), readsWith(t, 100_000)
	t.Logf("keys read and folders listed: %+v with 1,000 live records, %+v with 100,000", few, many)
	require.Zero(t, many.sweep, "nothing is due")
	require.LessOrEqual(t, many.exposed, few.exposed+2)
	require.LessOrEqual(t, many.exposed, 50)
	require.LessOrEqual(t, many.events, 10)
	require.LessOrEqual(t, many.tidy, 10)
	require.LessOrEqual(t, many.use, 10)
}

// reads are numbers of storage operations.
type reads struct{ sweep, exposed, events, use, tidy int }

func readsWith(t *testing.T, records int) (r reads) {
	m := newMount(t)
	m.openMany(records)
	found := m.issue("build-dev")
	require.NoError(t, m.engine.Ledger.Flush(t.Context()))
	require.NoError(t, m.engine.Ledger.SaveStats(t.Context()))
	m.start() // so that nothing is in memory but what a start leaves there
	require.Equal(t, records+1, m.engine.Ledger.LiveTotal())

	count := func(do func()) int {
		m.storage.failAt(math.MaxInt)
		do()
		m.storage.mu.Lock()
		defer m.storage.mu.Unlock()
		return m.storage.count
	}
	r.sweep = count(func() { require.NoError(t, m.engine.Revoke.Sweep(t.Context())) })
	middle := m.must("events", map[string]any{"limit": 500}).data["next"]
	r.events = count(func() {
		page := m.must("events", map[string]any{"after": middle, "limit": 100})
		require.Len(t, page.data["events"], 100)
	})
	r.use = count(func() {
		m.must("tokens/"+found.data["token_id"].(string)+"/use", map[string]any{"action": "push", "token": found.data["token"]})
	})
	r.tidy = count(func() {
		_, err := m.engine.Ledger.Tidy(t.Context(), 1000)
		require.NoError(t, err)
	})
	r.exposed = count(func() {
		got := m.must("exposed", map[string]any{"token": found.data["token"], "where": "a build log"})
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, true, got.data["ours"])
		require.Equal(t, "revoked", got.data["status"])
	})
	return r
}

// openMany puts that many live records on storage, of the last 24 hours: the first
// thousand through the ledger, with their events, the others as copies of those.
func (m *mount) openMany(records int) {
	m.t.Helper()
	const through = 1000
	ids := make([]string, through)
	for i := range through {
		secret := fmt.Sprintf("ghs_%036d", i)
		issued := m.clock.now().Add(-time.Duration(i%24) * time.Hour)
		ids[i] = ledger.IDFor(secret, issued)
		require.NoError(m.t, m.engine.Ledger.Open(m.t.Context(), &ledger.Live{
			Record: ledger.Record{
				TokenID: ids[i], TokenSHA256: ledger.Hash(secret), Role: "build-dev", Config: "github",
				BaseURL: m.github.URL(), Status: ledger.Active, IssuedAt: issued, LeaseUntil: m.clock.now().Add(time.Hour), ExpiresAt: m.clock.now().Add(time.Hour),
			},
			Handle: secret,
		}, secret))
		m.clock.advance(time.Millisecond)
	}
	keys := m.storage.keys(store.Live)
	require.Len(m.t, keys, through)
	for i := through; i < records; i++ {
		key := keys[i%through]
		entry, err := m.storage.InmemStorage.Get(m.t.Context(), key)
		require.NoError(m.t, err)
		old := key[strings.LastIndex(key, "/")+1:]
		suffix := old[:1] + fmt.Sprintf("%023x", i)
		copied := &logical.StorageEntry{
			Key:   strings.TrimSuffix(key, old) + suffix,
			Value: bytes.ReplaceAll(entry.Value, []byte(old), []byte(suffix)),
		}
		require.NoError(m.t, m.storage.InmemStorage.Put(m.t.Context(), copied))
	}
}
