// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"context"
	"sync"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Use is one use of a token that somebody told us of.
type Use struct {
	At time.Time
	// Action and Target say what it was used for; they hold no secret.
	Action, Target string
	// ReportedBy names who told us: the caller, whoever showed the token, or the
	// platform.
	ReportedBy string
}

// uses keeps what is not on storage yet of how tokens were used. A gateway that
// reports every request costs a write every few seconds, not one a request.
type uses struct {
	mu      sync.Mutex
	pending map[string]*tally
}

type tally struct {
	count       int
	first, last time.Time
	by          string
}

func newUses() *uses { return &uses{pending: map[string]*tally{}} }

func (u *uses) add(id string, use Use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	t := u.pending[id]
	if t == nil {
		t = &tally{first: use.At}
		u.pending[id] = t
	}
	t.count++
	if !use.At.Before(t.last) {
		t.last, t.by = use.At, use.ReportedBy
	}
}

// show adds to a record what is not on storage yet.
func (u *uses) show(r *Record) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if t := u.pending[r.TokenID]; t != nil {
		t.addTo(r)
	}
}

func (t *tally) addTo(r *Record) {
	r.Uses += t.count
	if r.FirstUsedAt.IsZero() {
		r.FirstUsedAt = t.first
	}
	if t.last.After(r.LastUsedAt) {
		r.LastUsedAt, r.UseReportedBy = t.last, t.by
	}
}

// stored takes note that a record was written with all that was pending. Whoever
// calls it holds the record's row, as whoever adds does, so nothing comes between.
func (u *uses) stored(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.pending, id)
}

func (u *uses) ids() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	ids := make([]string, 0, len(u.pending))
	for id := range u.pending {
		ids = append(ids, id)
	}
	return ids
}

// Used records a use. It is in the log when Used returns; the record on storage
// follows with the next StoreUses.
func (l *Ledger) Used(ctx context.Context, record *Record, use Use) error {
	if err := l.takeUp(ctx); err != nil {
		return err
	}
	row := l.row(record.TokenID)
	row.Lock()
	l.uses.add(record.TokenID, use)
	row.Unlock()
	return l.Tell(ctx, Event{Type: EventUsed, Time: use.At, Record: record, More: map[string]any{
		"action": use.Action, "target": use.Target, "reported_by": use.ReportedBy,
	}})
}

// StoreUses writes the use counts that are not on storage yet.
func (l *Ledger) StoreUses(ctx context.Context) error {
	for _, id := range l.uses.ids() {
		_, err := l.Change(ctx, id, func(*Live) error { return nil })
		if fault.Is(err, fault.NotFound) {
			err = l.ChangeClosed(ctx, id, func(*Record) {})
		}
		if err != nil {
			return err
		}
	}
	return nil
}
