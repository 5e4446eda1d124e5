// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"context"
	"fmt"
)

// Start goes on where a predecessor left off, after a restart, a failover or a
// crash at any instant: it takes up the log, tells what was done but not told, and
// counts the live tokens in one pass. queue is called with every record whose
// revocation is owed. Until Start returns, whatever needs a count is refused.
func (l *Ledger) Start(ctx context.Context, queue func(*Live)) error {
	tail, _, err := l.log.tail(ctx)
	if err != nil {
		return fmt.Errorf("ledger: start: %w", err)
	}
	done := l.log.start(tail.Last, tail.Low)
	defer done()
	if err := l.replayStats(ctx); err != nil {
		return fmt.Errorf("ledger: start: stats: %w", err)
	}
	told, err := l.toldSince(ctx, tail)
	if err != nil {
		return fmt.Errorf("ledger: start: log: %w", err)
	}
	var found []*Live
	var failed error
	err = l.EachLive(ctx, func(live *Live) bool {
		if live.Term == l.term {
			return true
		}
		if failed = l.resume(ctx, live, tail.Low, told[live.TokenID]); failed != nil {
			return false
		}
		if told[live.TokenID].ended != nil {
			return true
		}
		if live.Status == Revoking || live.Killed != "" {
			queue(live)
		}
		found = append(found, outline(live))
		return true
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("ledger: start: count live tokens: %w", err)
	}
	l.census.fill(found)
	return l.log.Flush(ctx)
}

// outline is what the census needs of a record, without what makes it large.
func outline(l *Live) *Live {
	return &Live{Term: l.Term, Record: Record{
		TokenID: l.TokenID, Role: l.Role, Config: l.Config, BaseURL: l.BaseURL,
		LeaseUntil: l.LeaseUntil, Status: l.Status,
	}}
}

func (l *Ledger) replayStats(ctx context.Context) error {
	seq, err := l.stats.load(ctx)
	if err != nil {
		return err
	}
	var failed error
	err = l.log.read(ctx, seq, func(t told) bool {
		var e storedEvent
		if e, failed = parseEvent(t.json); failed != nil {
			return false
		}
		l.stats.fold(t.seq, e.stat())
		return true
	})
	if err == nil {
		err = failed
	}
	return err
}

// toldOf is what the end of the log tells of one token.
type toldOf struct {
	issued bool
	ended  *storedEvent
}

// toldSince reads the log from where the predecessor's work was still under way.
func (l *Ledger) toldSince(ctx context.Context, tail page) (map[string]toldOf, error) {
	tokens := map[string]toldOf{}
	if tail.Last == 0 {
		return tokens, nil
	}
	var failed error
	err := l.log.read(ctx, max(tail.Low, 1)-1, func(t told) bool {
		var e storedEvent
		if e, failed = parseEvent(t.json); failed != nil {
			return false
		}
		of := tokens[e.TokenID]
		switch e.Type {
		case EventIssued:
			of.issued = true
		case EventRevoked, EventExpired:
			of.ended = &e
		}
		tokens[e.TokenID] = of
		return true
	})
	if err == nil {
		err = failed
	}
	return tokens, err
}

// resume brings one record of a predecessor in line with the log: an issue that
// was not told is told, an end that was told is finished.
func (l *Ledger) resume(ctx context.Context, live *Live, low uint64, of toldOf) error {
	if !of.issued && live.Ticket >= low {
		l.Note(Event{Type: EventIssued, Time: live.IssuedAt, Record: &live.Record})
	}
	if of.ended == nil {
		return nil
	}
	row := l.row(live.TokenID)
	row.Lock()
	defer row.Unlock()
	live.Status, live.RevokedBy, live.RevokedAt = of.ended.Status, of.ended.RevokedBy, of.ended.RevokedAt
	return l.finish(ctx, live)
}
