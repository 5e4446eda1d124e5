// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"golang.org/x/sync/semaphore"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
)

// Log is the order of all that happened. Each event has a sequence number, which
// is a time in milliseconds shifted left with a counter below it: it grows with
// every event, also when the clock goes back, and it goes on above everything that
// was ever told when an older snapshot is restored.
//
// Events are written in pages that share one storage write. A page also says how
// far back the work reaches that was under way when it was cut; a successor that
// starts after a crash looks at the log from there on, and nowhere else, for what
// its predecessor did but did not get to tell.
type Log struct {
	storage logical.Storage
	now     func() time.Time
	// flushed is told of every event that is on storage, in order.
	flushed func(seq uint64, e Event)

	// flushing is held while a page is written, so that pages follow one another.
	// Whoever waits for it finds its event in the next page: many share a write.
	flushing *semaphore.Weighted

	mu       sync.Mutex
	last     uint64
	stored   uint64
	pending  []pendingEvent
	underway map[uint64]int
}

type pendingEvent struct {
	seq   uint64
	event Event
	// ticket is given back when the event is on storage; zero for none.
	ticket uint64
}

// page is what is stored under one key.
type page struct {
	// Low is the first place at which work was under way when the page was cut.
	Low    uint64            `json:"low"`
	Last   uint64            `json:"last"`
	Events []json.RawMessage `json:"events"`
}

const (
	counterBits = 20
	// mostPage keeps a page well below what a Raft log entry may hold.
	mostPage      = 256 << 10
	storageBudget = 15 * time.Second
)

func newLog(storage logical.Storage, now func() time.Time, flushed func(uint64, Event)) *Log {
	return &Log{storage: storage, now: now, flushed: flushed, flushing: semaphore.NewWeighted(1), underway: map[uint64]int{}}
}

// start sets the log behind what is stored. low keeps the pages that are cut from
// now on pointing at what a predecessor may have left untold, until done is called.
func (l *Log) start(stored, low uint64) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.stored = max(l.last, stored), max(l.stored, stored)
	l.underway[low]++
	return func() { l.end(low) }
}

// begin takes a ticket for work that will tell the log of itself. It is given back
// by end, or with the event that tells.
func (l *Log) begin() (ticket uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ticket = l.last + 1
	l.underway[ticket]++
	return ticket
}

func (l *Log) end(ticket uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.underway[ticket]--; l.underway[ticket] == 0 {
		delete(l.underway, ticket)
	}
}

// add puts an event into the log. It is stored with the next page, and the ticket
// (zero for none) given back then.
func (l *Log) add(e Event, ticket uint64) (seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq = max(l.last+1, uint64(l.now().UnixMilli())<<counterBits)
	l.last = seq
	l.pending = append(l.pending, pendingEvent{seq, e, ticket})
	return seq
}

// sync returns when the event with that sequence number is on storage.
func (l *Log) sync(ctx context.Context, seq uint64) error {
	return l.storeUpTo(ctx, seq, storageBudget)
}

func (l *Log) storeUpTo(ctx context.Context, seq uint64, budget time.Duration) error {
	// The page holds others' events too: one caller that goes away must not stop it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), budget)
	defer cancel()
	if err := l.flushing.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("ledger: log: %w", err)
	}
	defer l.flushing.Release(1)
	for {
		l.mu.Lock()
		done := l.stored >= seq || len(l.pending) == 0
		l.mu.Unlock()
		if done {
			return nil
		}
		if err := l.writePage(ctx); err != nil {
			return err
		}
	}
}

// Flush writes everything that is pending. An early deadline of the context holds.
func (l *Log) Flush(ctx context.Context) error {
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	budget := storageBudget
	if deadline, ok := ctx.Deadline(); ok {
		budget = min(budget, time.Until(deadline))
	}
	return l.storeUpTo(ctx, last, budget)
}

// writePage writes one page of what is pending. When it fails, the same page is
// tried again later under the same key, so that an answer that was lost repeats
// nothing.
func (l *Log) writePage(ctx context.Context) error {
	p, cut, err := l.cut()
	if err != nil {
		return err
	}
	if err := store.Put(ctx, l.storage, pageKey(cut[0].seq), p); err != nil {
		return fmt.Errorf("ledger: log: %w", err)
	}
	l.mu.Lock()
	l.pending = l.pending[len(cut):]
	if len(l.pending) == 0 {
		l.pending = nil
	}
	l.stored = p.Last
	l.mu.Unlock()
	for _, e := range cut {
		if e.ticket != 0 {
			l.end(e.ticket)
		}
		l.flushed(e.seq, e.event)
	}
	return nil
}

// cut makes a page of what is pending. Only who writes pages takes from there, so
// that the events can be encoded without holding up those that add more.
func (l *Log) cut() (*page, []pendingEvent, error) {
	l.mu.Lock()
	pending, p := l.pending, &page{Low: l.last + 1}
	for ticket := range l.underway {
		p.Low = min(p.Low, ticket)
	}
	l.mu.Unlock()
	size := 0
	for i, e := range pending {
		encoded, err := e.event.encode(Cursor(e.seq))
		if err != nil {
			return nil, nil, fmt.Errorf("ledger: encode event: %w", err)
		}
		if size += len(encoded); size > mostPage && i > 0 {
			break
		}
		p.Events = append(p.Events, encoded)
		p.Last = e.seq
	}
	return p, pending[:len(p.Events)], nil
}

// Cursor is a sequence number as callers see it. Cursors sort as their numbers do.
func Cursor(seq uint64) string { return fmt.Sprintf("%016x", seq) }

func seqTime(seq uint64) time.Time { return time.UnixMilli(int64(seq >> counterBits)).UTC() }

// pageShard is the folder of a page: the hour and the minute of its first event.
func pageShard(seq uint64) (hour, minute string) {
	t := seqTime(seq)
	return t.Format(hourLayout) + "/", t.Format("04") + "/"
}

func pageKey(first uint64) string {
	hour, minute := pageShard(first)
	return store.Events + hour + minute + Cursor(first)
}
