// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// legacy is what a predecessor told, as far as it may have done more than it got to
// tell. It is dropped when a start has seen to all that it left.
type legacy struct {
	taken atomic.Bool
	// taking is held while storage is read for it.
	taking sync.Mutex

	// mu guards what follows.
	mu     sync.Mutex
	low    uint64
	issued map[string]bool
	// ended are the ends that it told, finished or not.
	ended map[string]bool
	// release lets the log go on from here.
	release func()
	// seen are the records that the start found, as far as others like them may
	// come late; started is when.
	seen    map[string]bool
	started time.Time
}

// takeUp reads, once, where the log ends and what its end tells. Nothing is added to
// the ledger before: it would come to lie before what is there if the clock has gone
// back, and hide from the next start what the predecessor left untold.
func (l *Ledger) takeUp(ctx context.Context) error {
	if l.legacy.taken.Load() {
		return nil
	}
	l.legacy.taking.Lock()
	defer l.legacy.taking.Unlock()
	if l.legacy.taken.Load() {
		return nil
	}
	tail, _, err := l.log.tail(ctx)
	if err != nil {
		return fmt.Errorf("ledger: find the end of the log: %w", err)
	}
	issued, ended, err := l.toldSince(ctx, tail)
	if err != nil {
		return fmt.Errorf("ledger: read the end of the log: %w", err)
	}
	l.legacy.mu.Lock()
	defer l.legacy.mu.Unlock()
	l.legacy.low, l.legacy.issued, l.legacy.ended = tail.Low, issued, map[string]bool{}
	l.mu.Lock()
	for id, t := range ended {
		l.telling[id], l.legacy.ended[id] = t, true
	}
	l.mu.Unlock()
	l.legacy.release = l.log.start(tail.Last, tail.Low)
	l.legacy.taken.Store(true)
	return nil
}

// toldSince reads the log from where the predecessor's work was still under way.
func (l *Ledger) toldSince(ctx context.Context, tail page) (issued map[string]bool, ended map[string]*telling, err error) {
	issued, ended = map[string]bool{}, map[string]*telling{}
	if tail.Last == 0 {
		return issued, ended, nil
	}
	err = l.log.each(ctx, max(tail.Low, 1)-1, func(seq uint64, e storedEvent) {
		switch e.Type {
		case EventIssued:
			issued[e.TokenID] = true
		case EventRevoked, EventExpired:
			ended[e.TokenID] = &telling{Ending: Ending{Status: e.Status, By: e.RevokedBy, At: e.RevokedAt}, seq: seq}
		}
	})
	return issued, ended, err
}

// catchUp tells of an issue that a predecessor did not get to tell, before anything
// else is told of the token. Whoever calls it holds the record's row.
func (l *Ledger) catchUp(live *Live) {
	if live.Term == l.term {
		return
	}
	l.legacy.mu.Lock()
	defer l.legacy.mu.Unlock()
	if l.legacy.issued == nil || live.Ticket < l.legacy.low || l.legacy.issued[live.TokenID] {
		return
	}
	l.legacy.issued[live.TokenID] = true
	record := live.Record
	l.Note(Event{Type: EventIssued, Time: live.IssuedAt, Record: &record})
}

// hasEnded reports whether a predecessor told of the token's end.
func (l *Ledger) hasEnded(id string) bool {
	l.legacy.mu.Lock()
	defer l.legacy.mu.Unlock()
	return l.legacy.ended[id]
}

// letGo ends the taking up: all that the predecessor left has been seen to.
func (l *Ledger) letGo() {
	l.legacy.mu.Lock()
	defer l.legacy.mu.Unlock()
	if l.legacy.release == nil {
		return
	}
	l.mu.Lock()
	for id := range l.legacy.ended {
		if t := l.telling[id]; t != nil && t.ticket == 0 {
			delete(l.telling, id)
		}
	}
	l.mu.Unlock()
	l.legacy.release()
	l.legacy.issued, l.legacy.ended, l.legacy.release, l.legacy.seen = nil, nil, nil, nil
}
