// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"context"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
)

// unwriteBudget bounds the undoing of a write whose outcome nobody knows.
const unwriteBudget = 5 * time.Second

// Open records a token that was just made: one storage write. The token secret
// serves only to index it where its id was chosen before. When Open fails the
// caller revokes the token, and sees to it that a record is closed which may be there
// all the same.
func (l *Ledger) Open(ctx context.Context, live *Live, secret string) error {
	if err := l.takeUp(ctx); err != nil {
		return err
	}
	row := l.row(live.TokenID)
	row.Lock()
	defer row.Unlock()
	l.resolve(live.TokenID, nil) // of an earlier try; this one is written over it
	live.Ticket, live.Term = l.log.begin(), l.term
	if undone, err := l.writeNew(ctx, live, secret); err != nil {
		if undone {
			l.log.end(live.Ticket)
			return err
		}
		l.census.opened(live)
		l.doubted(&doubt{counted: outline(live), ticket: live.Ticket})
		return err
	}
	l.census.opened(live)
	record := live.Record
	l.log.add(Event{Type: EventIssued, Time: live.IssuedAt, Record: &record}, live.Ticket)
	return nil
}

// writeNew writes a new record. Where that fails, undone says that no record is left.
func (l *Ledger) writeNew(ctx context.Context, live *Live, secret string) (undone bool, err error) {
	if live.Indexed {
		if err := store.Put(ctx, l.storage, store.Hashes+hashSuffix(secret), live.TokenID); err != nil {
			return true, err
		}
	}
	err = store.Put(ctx, l.storage, liveKey(live.TokenID), live)
	if err == nil {
		return false, nil
	}
	// The write may have come through although its answer did not: a record that
	// nobody counts would not be swept.
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), unwriteBudget)
	defer cancel()
	if undoErr := store.Delete(undo, l.storage, liveKey(live.TokenID)); undoErr != nil {
		l.logger.Warn("a record may be left of a token that was not handed out", "token_id", live.TokenID, "error", undoErr)
		return false, err
	}
	return true, err
}

// Ending is how a token ended.
type Ending struct {
	Status Status
	By     Cause
	At     time.Time
}

// telling is an end that was told but is not stored in all its parts yet.
type telling struct {
	Ending
	seq uint64
	// ticket keeps the log pointing at it until it is stored; zero where a
	// predecessor told it.
	ticket uint64
	// live is the record as the census knows it; nil where a predecessor told it and
	// nobody has closed it yet.
	live *Live
}

// Close records that a token is dead. It first tells the log, then stores the
// closed record, then removes the live one with its secret: whatever interrupts
// it, the next try or the next start goes on from there. It is idempotent.
func (l *Ledger) Close(ctx context.Context, id string, end Ending) error {
	if err := l.takeUp(ctx); err != nil {
		return err
	}
	row := l.row(id)
	row.Lock()
	defer row.Unlock()
	live, err := l.Live(ctx, id)
	if err != nil {
		return err
	}
	l.resolve(id, live)
	if live == nil {
		l.settle(id)
		return nil
	}
	l.meet(live)
	l.catchUp(live)
	t := l.tellEnd(live, end)
	if err := l.log.sync(ctx, t.seq); err != nil {
		return err
	}
	return l.finish(ctx, live, t)
}

// tellEnd tells the log of an end, once: what was told first holds.
func (l *Ledger) tellEnd(live *Live, end Ending) *telling {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.telling[live.TokenID]; t != nil {
		t.live = outline(live) // it may have changed since
		return t
	}
	end.At = end.At.UTC()
	kind := EventRevoked
	if end.Status == Expired {
		kind = EventExpired
	}
	t := &telling{Ending: end, ticket: l.log.begin(), live: outline(live)}
	record := live.closed(end)
	t.seq = l.log.add(Event{Type: kind, Time: end.At, Record: record, More: record.ending()}, 0)
	l.telling[live.TokenID] = t
	return t
}

// closed is the record with its end.
func (l *Live) closed(end Ending) *Record {
	record := l.Record
	record.Status, record.RevokedBy, record.RevokedAt = end.Status, end.By, end.At
	return &record
}

// finish stores the closed record and removes the live one.
func (l *Ledger) finish(ctx context.Context, live *Live, t *telling) error {
	_, suffix := split(live.TokenID)
	if err := store.Put(ctx, l.storage, closedKey(t.At.Format(dayLayout), suffix), live.closed(t.Ending)); err != nil {
		return err
	}
	if err := store.Delete(ctx, l.storage, liveKey(live.TokenID)); err != nil {
		return err
	}
	l.settle(live.TokenID)
	return nil
}

// settle takes note that an end is on storage in all its parts. It comes late where
// the answer to the last write was lost.
func (l *Ledger) settle(id string) {
	l.mu.Lock()
	t := l.telling[id]
	delete(l.telling, id)
	l.mu.Unlock()
	if t == nil || t.live == nil {
		return
	}
	l.census.closed(t.live)
	l.uses.stored(id)
	if t.ticket != 0 {
		l.log.end(t.ticket)
	}
}
