// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import "context"

// doubt is a write of a live record that may have come through although its answer did
// not. The census counts the record as it was, and where it is the record's first write
// as if it were there, until the record is read again.
type doubt struct {
	counted *Live
	// ticket is that of an issue which is to be told if the record is there; zero
	// where the record was there before.
	ticket uint64
}

// doubted notes a doubt, unless there is one: then the census counts what that says.
// Whoever calls it holds the record's row, as for what follows.
func (l *Ledger) doubted(d *doubt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id := d.counted.TokenID; l.doubts[id] == nil {
		l.doubts[id] = d
		l.census.keep(d.counted)
	}
}

// resolve ends a doubt: found is what storage has, nil for nothing.
func (l *Ledger) resolve(id string, found *Live) {
	l.mu.Lock()
	d := l.doubts[id]
	delete(l.doubts, id)
	l.mu.Unlock()
	if d == nil {
		return
	}
	if found == nil {
		l.census.closed(d.counted)
		if d.ticket != 0 {
			l.log.end(d.ticket)
		}
		return
	}
	l.census.changed(d.counted, found)
	if d.ticket != 0 {
		record := found.Record
		l.log.add(Event{Type: EventIssued, Time: found.IssuedAt, Record: &record}, d.ticket)
	}
}

// Settle takes note that a token has no live record, where a lost answer has left
// that open.
func (l *Ledger) Settle(ctx context.Context, id string) error {
	l.mu.Lock()
	open := l.doubts[id] != nil || l.telling[id] != nil
	l.mu.Unlock()
	if !open {
		return nil
	}
	row := l.row(id)
	row.Lock()
	defer row.Unlock()
	live, err := l.Live(ctx, id)
	if err != nil || live != nil {
		return err
	}
	l.resolve(id, nil)
	l.settle(id)
	return nil
}
