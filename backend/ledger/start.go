// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"context"
	"fmt"
)

// Start goes on where a predecessor left off, after a restart, a failover or a
// crash at any instant: it tells what was done but not told, finishes what was told
// but not done, and counts the live tokens in one pass. queue is called with every
// record whose revocation is owed. Until Start returns, whatever needs a count is
// refused. One that failed can be called again.
func (l *Ledger) Start(ctx context.Context, queue func(*Live)) error {
	if err := l.takeUp(ctx); err != nil {
		return fmt.Errorf("ledger: start: %w", err)
	}
	if err := l.stats.replay(ctx, l.log); err != nil {
		return fmt.Errorf("ledger: start: stats: %w", err)
	}
	found, err := l.adopt(ctx, queue)
	if err != nil {
		return fmt.Errorf("ledger: start: count live tokens: %w", err)
	}
	if err := l.log.Flush(ctx); err != nil {
		return fmt.Errorf("ledger: start: %w", err)
	}
	l.census.fill(found)
	l.watch(found)
	return nil
}

// adopt goes through the records of predecessors and brings each in line with the
// log.
func (l *Ledger) adopt(ctx context.Context, queue func(*Live)) (found []*Live, err error) {
	var failed error
	err = l.EachLive(ctx, func(live *Live) bool {
		if live.Term == l.term {
			return true
		}
		if l.hasEnded(live.TokenID) {
			failed = l.Close(ctx, live.TokenID, Ending{})
			return failed == nil
		}
		row := l.row(live.TokenID)
		row.Lock()
		l.catchUp(live)
		row.Unlock()
		if live.Status == Revoking || live.Killed != "" {
			queue(live)
		}
		found = append(found, outline(live))
		return true
	})
	if err == nil {
		err = failed
	}
	return found, err
}

// outline is what the census needs of a record, without what makes it large.
func outline(l *Live) *Live {
	return &Live{Term: l.Term, Ticket: l.Ticket, Record: Record{
		TokenID: l.TokenID, Role: l.Role, Config: l.Config, BaseURL: l.BaseURL,
		LeaseUntil: l.LeaseUntil, Status: l.Status,
	}}
}
