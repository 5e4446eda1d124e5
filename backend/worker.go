// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ci-identity/vault-plugin-secrets-ci/paths"
)

// worker does what nobody asks for: it stores the log, revokes what is owed and
// what is overdue, and tidies. It runs where this node can write, from the mount's
// start to its end.
type worker struct {
	engine   *paths.Engine
	logger   hclog.Logger
	writable func() bool

	mu     sync.Mutex
	cancel context.CancelFunc
	done   chan struct{}
}

// task is one kind of work and how often it is due.
type task struct {
	name  string
	every time.Duration
	do    func(context.Context) error
}

const (
	tick = 250 * time.Millisecond
	// startRetry is how long to wait before another try when storage fails a start.
	startRetry = 2 * time.Second
	// lastTasks bounds the wait for what is under way when the mount ends, lastWords
	// what is still stored then: Vault waits for both, and the next start makes up for
	// what they cut off.
	lastTasks  = 2 * time.Second
	lastWords  = 2 * time.Second
	tidyAtOnce = 2000
)

func newWorker(e *paths.Engine, logger hclog.Logger, writable func() bool) *worker {
	return &worker{engine: e, logger: logger, writable: writable}
}

// start begins the work, once.
func (w *worker) start() {
	if !w.writable() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.done = cancel, make(chan struct{})
	go w.run(ctx)
}

// stop ends the work and waits for it, for a while.
func (w *worker) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel == nil {
		return
	}
	w.cancel()
	w.cancel = nil
	select {
	case <-w.done:
	case <-time.After(lastTasks):
		w.logger.Warn("background work goes on after the mount has ended")
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	if err := w.engine.Ledger.Flush(ctx); err != nil {
		w.logger.Warn("the last events could not be stored; the next start tells them", "error", err)
	}
}

func (w *worker) run(ctx context.Context) {
	defer close(w.done)
	var all sync.WaitGroup
	defer all.Wait()
	// The log is stored from the first moment on; the rest waits for the start.
	all.Go(func() { w.loop(ctx, []task{{"store the log", 500 * time.Millisecond, w.engine.Ledger.Flush}}) })
	if !w.takeOver(ctx) {
		return
	}
	for _, group := range w.tasks() {
		all.Go(func() { w.loop(ctx, group) })
	}
	<-ctx.Done()
}

// takeOver goes on where a predecessor left off; it tries until it can.
func (w *worker) takeOver(ctx context.Context) bool {
	for {
		err := w.engine.Ledger.Start(ctx, w.engine.Revoke.Adopt)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return false
		}
		w.logger.Error("could not take up the ledger; trying again", "error", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(startRetry):
		}
	}
	w.do(ctx, task{name: "resume kills", do: w.engine.Revoke.RunKills})
	return ctx.Err() == nil
}

// tasks are grouped so that what waits for a platform holds up nothing else.
func (w *worker) tasks() [][]task {
	e := w.engine
	return [][]task{
		{{"revoke what is owed", time.Second, func(ctx context.Context) error { e.Revoke.RunQueue(ctx); return nil }}},
		{{"carry on with kills", time.Second, e.Revoke.RunKills}},
		{
			{"store uses", 5 * time.Second, e.Ledger.StoreUses},
			{"store figures", time.Minute, e.Ledger.SaveStats},
			{"tidy", 30 * time.Second, w.tidy},
		},
		{{"look for late records", 10 * time.Second, func(ctx context.Context) error { return e.Ledger.LookAgain(ctx, e.Revoke.Adopt) }}},
		{{"sweep", 10 * time.Second, e.Revoke.Sweep}},
		{{"revoke lost tokens", 10 * time.Second, func(ctx context.Context) error { e.Issue.RevokeLost(ctx); return nil }}},
		{{"retire roles", 10 * time.Second, e.Roles.Retire}},
		{
			{"finish rotations", 10 * time.Second, e.Connections.ResumeRotations},
			{"rotate expiring credentials", time.Hour, e.Connections.RotateExpiring},
		},
	}
}

func (w *worker) tidy(ctx context.Context) error {
	if _, err := w.engine.Ledger.Tidy(ctx, tidyAtOnce); err != nil {
		return err
	}
	if err := w.engine.Approvals.Tidy(ctx); err != nil {
		return err
	}
	if err := w.engine.Issue.TidySeen(ctx); err != nil {
		return err
	}
	if !w.engine.Ledger.Ready() {
		return nil
	}
	return w.engine.Connections.TidyRetired(ctx)
}

// loop does each task when it is due, the first time at once.
func (w *worker) loop(ctx context.Context, tasks []task) {
	next := make([]time.Time, len(tasks))
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		for i, t := range tasks {
			if now := time.Now(); !now.Before(next[i]) {
				w.do(ctx, t)
				next[i] = now.Add(t.every)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (w *worker) do(ctx context.Context, t task) {
	if err := t.do(ctx); err != nil && ctx.Err() == nil {
		w.logger.Warn("background work failed and will be tried again", "work", t.name, "error", err)
	}
}
