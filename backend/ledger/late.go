// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"context"
	"time"
)

const (
	// lateAfter is how long after a start storage may still take a write that a
	// predecessor sent before it died.
	lateAfter = time.Minute
	// lateHours is how long before the start such a token may have been issued.
	lateHours = 2 * time.Hour
)

// watch remembers what the start has found: what comes after it comes late.
func (l *Ledger) watch(found []*Live) {
	l.legacy.mu.Lock()
	defer l.legacy.mu.Unlock()
	l.legacy.seen, l.legacy.started = map[string]bool{}, l.now()
	for _, live := range found {
		if live.Ticket >= l.legacy.low {
			l.legacy.seen[live.TokenID] = true
		}
	}
}

// LookAgain looks, once and a while after the start, for records that storage took
// only after the start had listed them. Whoever wrote them died before it could hand
// the token out: queue is called with each.
func (l *Ledger) LookAgain(ctx context.Context, queue func(*Live)) error {
	l.legacy.mu.Lock()
	started, due := l.legacy.started, l.legacy.seen != nil
	l.legacy.mu.Unlock()
	if !due || l.now().Sub(started) < lateAfter {
		return nil
	}
	var failed error
	from := started.Add(-lateHours).UTC().Format(hourLayout)
	err := l.eachLiveFrom(ctx, from, func(live *Live) bool {
		if l.isLate(live) {
			failed = l.takeLate(ctx, live.TokenID, queue)
		}
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	if err == nil {
		l.letGo()
	}
	return err
}

func (l *Ledger) takeLate(ctx context.Context, id string, queue func(*Live)) error {
	row := l.row(id)
	row.Lock()
	defer row.Unlock()
	live, err := l.Live(ctx, id)
	if err != nil || live == nil {
		return err
	}
	l.meet(live)
	l.catchUp(live)
	queue(live)
	return nil
}

// meet counts a record that came late. Whoever calls it holds the record's row.
func (l *Ledger) meet(live *Live) {
	if !l.isLate(live) {
		return
	}
	l.legacy.mu.Lock()
	if l.legacy.seen != nil {
		l.legacy.seen[live.TokenID] = true
	}
	l.legacy.mu.Unlock()
	l.census.opened(live)
}

func (l *Ledger) isLate(live *Live) bool {
	if live.Term == l.term {
		return false
	}
	l.legacy.mu.Lock()
	defer l.legacy.mu.Unlock()
	return l.legacy.seen != nil && live.Ticket >= l.legacy.low && !l.legacy.seen[live.TokenID]
}
