// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

var noon = time.Date(2030, 5, 6, 12, 0, 0, 0, time.UTC)

// book is a ledger with a clock and storage of the test's.
type book struct {
	*Ledger
	t       *testing.T
	storage *flaky
	mu      sync.Mutex
	at      time.Time
	terms   int
}

func newBook(t *testing.T) *book {
	b := &book{t: t, storage: &flaky{}, at: noon}
	b.restart()
	return b
}

// restart is another process on the same storage.
func (b *book) restart() (queued []string) {
	b.t.Helper()
	b.terms++
	b.Ledger = New(b.storage, fmt.Sprint("term ", b.terms), b.now, hclog.NewNullLogger())
	require.NoError(b.t, b.Start(b.t.Context(), func(l *Live) { queued = append(queued, l.TokenID) }))
	return queued
}

func (b *book) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at
}

func (b *book) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = b.at.Add(d)
}

func (b *book) open(secret string) string {
	b.t.Helper()
	live := b.made(secret)
	require.NoError(b.t, b.Open(b.t.Context(), live, secret))
	return live.TokenID
}

// made is the record of a token that was just made.
func (b *book) made(secret string) *Live {
	now := b.now()
	return &Live{Record: Record{
		TokenID: IDFor(secret, now), TokenSHA256: Hash(secret), Role: "role", Config: "config", BaseURL: "https://forge",
		Status: Active, IssuedAt: now, LeaseUntil: now.Add(time.Minute), ExpiresAt: now.Add(time.Hour),
	}, EndsItself: true}
}

func (b *book) events() (types []string) {
	b.t.Helper()
	for _, e := range b.page("", MostEvents) {
		types = append(types, e["type"].(string))
	}
	return types
}

func (b *book) page(after string, limit int) (events []map[string]any) {
	b.t.Helper()
	lines, _, err := b.Events(b.t.Context(), after, limit)
	require.NoError(b.t, err)
	for _, line := range lines {
		var e map[string]any
		require.NoError(b.t, json.Unmarshal([]byte(line), &e))
		events = append(events, e)
	}
	return events
}

var byLease = Ending{Status: Revoked, By: ByLease, At: noon}

func TestAnEndThatCouldNotBeStoredIsToldOnce(t *testing.T) {
	for _, broken := range []string{store.Closed, store.Live} {
		t.Run("writes under "+broken+" fail", func(t *testing.T) {
			b := newBook(t)
			id := b.open("secret")
			b.storage.fail(broken)
			require.Error(t, b.Close(t.Context(), id, byLease))
			b.storage.heal()
			require.NoError(t, b.Close(t.Context(), id, Ending{Status: Expired, By: BySweep, At: noon.Add(time.Hour)}))
			require.Equal(t, []string{"issued", "revoked"}, b.events())
			record, err := b.Find(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, []any{Revoked, ByLease}, []any{record.Status, record.RevokedBy}, "what was told first holds")
			require.Zero(t, b.LiveTotal())
		})
		t.Run("and the process ends then, much later", func(t *testing.T) {
			b := newBook(t)
			id := b.open("secret")
			b.storage.fail(broken)
			require.Error(t, b.Close(t.Context(), id, byLease))
			b.storage.heal()
			for range 3 { // pages that were cut since then still point at it
				b.open(fmt.Sprint(b.now()))
				b.advance(time.Minute)
				require.NoError(t, b.Flush(t.Context()))
			}
			b.restart()
			require.Equal(t, []string{"issued", "revoked", "issued", "issued", "issued"}, b.events())
			record, err := b.Find(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, Revoked, record.Status)
			require.Equal(t, 3, b.LiveTotal())
		})
	}
}

func TestALostAnswerToTheLastWriteLeavesTheCountsRight(t *testing.T) {
	b := newBook(t)
	id := b.open("secret")
	b.storage.loseAnswers(store.Live)
	require.Error(t, b.Close(t.Context(), id, byLease))
	b.storage.heal()
	require.NoError(t, b.Close(t.Context(), id, byLease))
	require.Zero(t, b.LiveTotal())
	require.Equal(t, []string{"issued", "revoked"}, b.events())
}

func TestARecordWhoseWriteFailedLeavesNothing(t *testing.T) {
	b := newBook(t)
	live := &Live{Record: Record{TokenID: IDFor("secret", noon), TokenSHA256: Hash("secret"), Role: "role", Status: Active, LeaseUntil: noon}}
	b.storage.loseAnswers(store.Live)
	require.Error(t, b.Open(t.Context(), live, "secret"))
	b.storage.heal()
	left, err := b.Live(t.Context(), live.TokenID)
	require.NoError(t, err)
	require.Nil(t, left)
	require.Zero(t, b.LiveTotal())
	require.Empty(t, b.events())
}

func TestTheLogGoesOnWhenTheClockGoesBack(t *testing.T) {
	b := newBook(t)
	b.open("first")
	all := b.page("", MostEvents)
	after := all[0]["cursor"].(string)

	b.advance(-48 * time.Hour)
	b.open("second")
	b.restart()
	b.advance(-48 * time.Hour)
	b.open("third")
	later := b.page(after, MostEvents)
	require.Len(t, later, 2)
	require.Less(t, after, later[0]["cursor"].(string))
	require.Less(t, later[0]["cursor"].(string), later[1]["cursor"].(string))
	require.Len(t, b.page("", MostEvents), 3)
}

func TestARestoredSnapshotNeitherSkipsNorRepeats(t *testing.T) {
	b := newBook(t)
	b.open("kept")
	require.NoError(t, b.Flush(t.Context()))
	snapshot := b.storage.copy(t)
	b.advance(time.Second)
	b.open("forgotten")
	seen := b.page("", MostEvents)
	require.Len(t, seen, 2)

	b.storage = snapshot
	b.advance(time.Second)
	b.restart()
	b.open("new")
	later := b.page(seen[1]["cursor"].(string), MostEvents)
	require.Len(t, later, 1)
	require.Equal(t, Hash("new"), later[0]["token_sha256"])
}

func TestPagesOfAnySizeTellTheSame(t *testing.T) {
	b := newBook(t)
	for i := range 200 {
		b.open(fmt.Sprint("secret ", i))
		if i%7 == 0 {
			require.NoError(t, b.Flush(t.Context()))
			b.advance(time.Duration(i) * time.Second) // over minutes and hours
		}
	}
	whole := b.page("", MostEvents)
	require.Len(t, whole, 200)
	for _, size := range []int{1, 3, 64, 199, 200} {
		var pieces []map[string]any
		after := ""
		for {
			page := b.page(after, size)
			if len(page) == 0 {
				break
			}
			pieces = append(pieces, page...)
			after = page[len(page)-1]["cursor"].(string)
		}
		require.Equal(t, whole, pieces, "pages of %d", size)
	}
	for _, wrong := range []string{"x", "0123", strings.Repeat("g", 16)} {
		_, _, err := b.Events(t.Context(), wrong, 1)
		require.True(t, fault.Is(err, fault.Invalid), wrong)
	}
}

// Whatever happens to records, memory counts what storage holds, and nothing is due
// but what is overdue.
func TestTheCensusIsRight(t *testing.T) {
	b := newBook(t)
	var ids []string
	for i := range 2000 {
		switch n := rand.IntN(10); {
		case n < 4 || len(ids) == 0:
			ids = append(ids, b.open(fmt.Sprint("secret ", i)))
		case n < 6:
			_, err := b.Change(t.Context(), ids[rand.IntN(len(ids))], func(l *Live) error {
				l.LeaseUntil = l.LeaseUntil.Add(time.Minute)
				return nil
			})
			require.NoError(t, err)
		case n < 7:
			_, err := b.Change(t.Context(), ids[rand.IntN(len(ids))], func(l *Live) error { l.Status = Revoking; return nil })
			require.NoError(t, err)
		case n < 9:
			k := rand.IntN(len(ids))
			require.NoError(t, b.Close(t.Context(), ids[k], byLease))
			ids = append(ids[:k], ids[k+1:]...)
		case rand.IntN(20) == 0:
			b.restart()
		}
	}
	require.Equal(t, len(ids), b.LiveTotal())
	live, err := b.LiveAt("config", "https://forge")
	require.NoError(t, err)
	require.Equal(t, len(ids), live)
	for _, id := range ids {
		require.NoError(t, b.Close(t.Context(), id, byLease))
	}
	require.Zero(t, b.LiveTotal())
	require.Empty(t, b.census.due, "the sweep would look for what is not there")
	require.Empty(t, b.census.endpoints)
	require.Empty(t, b.census.roles)
}

func TestCountsThatWereLostReadAsNo(t *testing.T) {
	b := newBook(t)
	b.open("secret")
	next := New(b.storage, "next", b.now, hclog.NewNullLogger())
	_, err := next.Reserve("role", 5, "config", "https://forge")
	require.True(t, fault.Is(err, fault.Unavailable), err)
	_, err = next.LiveAt("config", "")
	require.True(t, fault.Is(err, fault.Unavailable), err)
	require.NoError(t, next.Start(t.Context(), func(*Live) {}))
	_, err = next.Reserve("role", 1, "config", "https://forge")
	require.True(t, fault.Is(err, fault.Denied), err)
	place, err := next.Reserve("role", 2, "config", "https://forge")
	require.NoError(t, err)
	_, err = next.Reserve("role", 2, "config", "https://forge")
	require.True(t, fault.Is(err, fault.Denied), "a place that is taken counts")
	place.Release()
	place.Release()
	_, err = next.Reserve("role", 2, "config", "https://forge")
	require.NoError(t, err)
}

func TestARecordTakesOverThePlaceThatWasHeldForIt(t *testing.T) {
	b := newBook(t)
	require.NoError(t, b.Start(t.Context(), func(*Live) {}))
	place, err := b.Reserve("role", 2, "config", "https://forge")
	require.NoError(t, err)
	live := b.made("secret")
	live.Place = place
	require.NoError(t, b.Open(t.Context(), live, "secret"))
	_, err = b.Reserve("role", 2, "config", "https://forge")
	require.NoError(t, err, "one credential is live, not two")
	place.Release()
	_, err = b.Reserve("role", 2, "config", "https://forge")
	require.True(t, fault.Is(err, fault.Denied), "releasing a place that was taken over frees none")
}

func TestAStartThatFailsCanBeTriedAgain(t *testing.T) {
	b := newBook(t)
	b.open("secret") // and the process dies before the event is on storage
	for _, broken := range []string{store.Events, store.Live, store.Stats} {
		b.Ledger = New(b.storage, "after "+broken, b.now, hclog.NewNullLogger())
		b.storage.failReads(broken)
		require.Error(t, b.Start(t.Context(), func(*Live) {}), broken)
		b.storage.heal()
		require.NoError(t, b.Start(t.Context(), func(*Live) {}))
		require.Equal(t, []string{"issued"}, b.events())
		require.Equal(t, 1, b.LiveTotal())
		require.Equal(t, 1, b.Figures("role").Issued1d)
	}
}

func TestAnUnknownFormatIsRefused(t *testing.T) {
	b := newBook(t)
	id := b.open("secret")
	require.NoError(t, b.storage.Put(t.Context(), &logical.StorageEntry{Key: liveKey(id), Value: []byte(`{"format":99,"value":{}}`)}))
	_, err := b.Find(t.Context(), id)
	require.ErrorContains(t, err, "format 99")
}

// flaky is storage that can be made to fail under a prefix.
type flaky struct {
	logical.InmemStorage
	mu                     sync.Mutex
	writes, reads, answers string
}

var errFlaky = errors.New("storage is down")

func (f *flaky) set(writes, reads, answers string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes, f.reads, f.answers = writes, reads, answers
}

func (f *flaky) fail(prefix string)      { f.set(prefix, "", "") }
func (f *flaky) failReads(prefix string) { f.set("", prefix, "") }

// loseAnswers makes the next write below the prefix succeed and look as if it failed.
func (f *flaky) loseAnswers(prefix string) { f.set("", "", prefix) }
func (f *flaky) heal()                     { f.set("", "", "") }

// broken reports whether a key is below one of the prefixes.
func (f *flaky) broken(prefix *string, key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *prefix != "" && strings.HasPrefix(key, *prefix)
}

func (f *flaky) write(key string, do func() error) error {
	if f.broken(&f.writes, key) {
		return errFlaky
	}
	err := do()
	if f.broken(&f.answers, key) {
		f.heal()
		return errFlaky
	}
	return err
}

func (f *flaky) Put(ctx context.Context, entry *logical.StorageEntry) error {
	return f.write(entry.Key, func() error { return f.InmemStorage.Put(ctx, entry) })
}

func (f *flaky) Delete(ctx context.Context, key string) error {
	return f.write(key, func() error { return f.InmemStorage.Delete(ctx, key) })
}

func (f *flaky) List(ctx context.Context, prefix string) ([]string, error) {
	if f.broken(&f.reads, prefix) {
		return nil, errFlaky
	}
	return f.InmemStorage.List(ctx, prefix)
}

func (f *flaky) copy(t *testing.T) *flaky {
	t.Helper()
	twin := &flaky{}
	keys, err := logical.CollectKeys(t.Context(), f)
	require.NoError(t, err)
	for _, key := range keys {
		entry, err := f.Get(t.Context(), key)
		require.NoError(t, err)
		require.NoError(t, twin.InmemStorage.Put(t.Context(), entry))
	}
	return twin
}

func TestAnEventIsOneFlatObject(t *testing.T) {
	when := time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)
	record := &Record{TokenID: "id", Repositories: []string{"web"}, IssuedAt: when, Job: map[string]string{"ref": "refs/heads/main"}}
	encoded, err := Event{Type: EventRevoked, Time: when, Record: record, More: record.ending()}.encode("place")
	require.NoError(t, err)
	var flat map[string]any
	require.NoError(t, json.Unmarshal(encoded, &flat))
	require.Equal(t, "place", flat["cursor"])
	require.Equal(t, "2026-03-04T05:06:07.000000008Z", flat["time"])
	require.Equal(t, "2026-03-04T05:06:07Z", flat["issued_at"])
	require.Equal(t, "refs/heads/main", flat["job_ref"])
	require.Equal(t, []any{"web"}, flat["repositories"])
	require.NotContains(t, flat, "approved_by")
	// No name is said twice: what reads it would take one of the two.
	require.Len(t, flat, 3+18+len(record.Job)+len(record.ending()))

	encoded, err = Event{Type: EventRootRotated, Time: when}.encode("place")
	require.NoError(t, err)
	require.JSONEq(t, `{"cursor":"place","time":"2026-03-04T05:06:07.000000008Z","type":"root_rotated"}`, string(encoded))
}
