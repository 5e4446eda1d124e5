// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func TestUsesAreCountedAndWrittenTogether(t *testing.T) {
	b := newBook(t)
	id := b.open("secret")
	record, err := b.Find(t.Context(), id)
	require.NoError(t, err)
	use := func(at time.Time, by string) {
		require.NoError(t, b.Used(t.Context(), record, Use{At: at, Action: "push", ReportedBy: by}))
	}
	use(noon, "job")
	use(noon.Add(2*time.Second), "gateway")
	use(noon.Add(time.Second), "late")

	shown := func() []any {
		t.Helper()
		r, err := b.Find(t.Context(), id)
		require.NoError(t, err)
		return []any{r.Uses, r.FirstUsedAt, r.LastUsedAt, r.UseReportedBy}
	}
	want := []any{3, noon, noon.Add(2 * time.Second), "gateway"}
	require.Equal(t, want, shown(), "before they are on storage")
	require.NoError(t, b.StoreUses(t.Context()))
	require.Equal(t, want, shown())
	b.restart()
	require.Equal(t, want, shown(), "another process knows them")

	require.NoError(t, b.Close(t.Context(), id, byLease))
	use(noon.Add(time.Minute), "gateway")
	require.Equal(t, 4, shown()[0], "a dead token's too")
	require.NoError(t, b.StoreUses(t.Context()))
	b.restart()
	require.Equal(t, 4, shown()[0])
	require.Equal(t, 0, b.Figures("role").Unused30d)
}

func TestTidyKeepsWhatIsNotPastItsRetention(t *testing.T) {
	b := newBook(t)
	require.NoError(t, b.retain(Settings{ClosedRetention: 48 * time.Hour, EventRetention: 24 * time.Hour}))
	dead := b.open("dead")
	require.NoError(t, b.Close(t.Context(), dead, byLease))
	alive := b.open("alive")
	require.NoError(t, b.Flush(t.Context()))

	b.advance(25 * time.Hour)
	later := b.open("later")
	require.NoError(t, b.Flush(t.Context()))
	_, err := b.Tidy(t.Context(), math.MaxInt)
	require.NoError(t, err)
	require.Equal(t, []string{"issued"}, b.events(), "events of the day before are gone")
	_, err = b.Find(t.Context(), dead)
	require.NoError(t, err)

	b.advance(48 * time.Hour)
	_, err = b.Tidy(t.Context(), math.MaxInt)
	require.NoError(t, err)
	_, err = b.Find(t.Context(), dead)
	require.True(t, fault.Is(err, fault.NotFound), err)
	for _, id := range []string{alive, later} {
		_, err := b.Find(t.Context(), id)
		require.NoError(t, err, "a live record has no retention")
	}
	require.NotEmpty(t, b.events(), "the log goes on from its end")

	require.True(t, fault.Is(b.retain(Settings{ClosedRetention: time.Hour, EventRetention: 48 * time.Hour}), fault.Invalid))
}

func TestFiguresSurviveARestart(t *testing.T) {
	b := newBook(t)
	require.NoError(t, b.Close(t.Context(), b.open("first"), byLease))
	b.advance(3 * 24 * time.Hour)
	b.open("second")
	require.NoError(t, b.SaveStats(t.Context()))
	b.advance(10 * 24 * time.Hour)
	b.open("third")
	require.NoError(t, b.Flush(t.Context()))

	b.Ledger = nil
	b.restart()
	want := RoleFigures{Live: 2, Issued1d: 1, Issued7d: 1, Issued30d: 3, Unused30d: 1, LastIssued: b.now()}
	got := b.Figures("role")
	got.LastJob = nil
	require.Equal(t, want, got)
	require.NoError(t, b.SaveStats(t.Context()))
	b.restart()
	got = b.Figures("role")
	got.LastJob = nil
	require.Equal(t, want, got, "nothing is counted twice")
}

// retain replaces the settings.
func (b *book) retain(s Settings) error {
	return b.ChangeSettings(b.t.Context(), func(old *Settings) error { *old = s; return nil })
}

func TestNoChangeOfTheSettingsIsLostToAnother(t *testing.T) {
	b := newBook(t)
	const day = 24 * time.Hour
	for round := range 50 {
		want := Settings{ClosedRetention: time.Duration(2+round) * day, EventRetention: time.Duration(100+round) * day}
		var both sync.WaitGroup
		both.Go(func() {
			assert.NoError(t, b.ChangeSettings(t.Context(), func(s *Settings) error { s.ClosedRetention = want.ClosedRetention; return nil }))
		})
		both.Go(func() {
			assert.NoError(t, b.ChangeSettings(t.Context(), func(s *Settings) error { s.EventRetention = want.EventRetention; return nil }))
		})
		both.Wait()
		got, err := b.Settings(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
