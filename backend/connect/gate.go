// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package connect

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/metrics"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Call names a kind of call to a platform in metrics and decides its turn.
type Call string

// The kinds of calls.
const (
	Mint   Call = "mint"
	Revoke Call = "revoke"
	Other  Call = "other"
)

// Gate is what every call of one config passes: at most max_concurrency at once,
// and none while the platform has told us to wait. It outlives the versions of
// the config. Revocations leave a quarter of the places to mints, so that ten
// thousand leases that end together do not lock out the job that starts now.
type Gate struct {
	config  string
	now     func() time.Time
	metrics *metrics.Metrics

	mu           sync.Mutex
	size         int
	all          *semaphore.Weighted
	revocations  *semaphore.Weighted
	limitedUntil time.Time
	// strikes counts limits without a time that came with no success in between.
	strikes int
}

// mostWait bounds the doubling of waits that no platform asked for.
const mostWait = time.Hour

func newGate(config string, size int, now func() time.Time, m *metrics.Metrics) *Gate {
	g := &Gate{config: config, now: now, metrics: m}
	g.resize(size)
	return g
}

// resize takes effect for the calls that come; those in flight keep their places.
func (g *Gate) resize(size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.size == size {
		return
	}
	g.size = size
	g.all = semaphore.NewWeighted(int64(size))
	g.revocations = semaphore.NewWeighted(int64(max(1, size-(size+3)/4)))
}

// Size is how many calls may be in flight at once.
func (g *Gate) Size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.size
}

// Limited is how long the platform wants us to wait; zero when it does not.
func (g *Gate) Limited() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(0, g.limitedUntil.Sub(g.now()))
}

// Do carries out a call when its turn comes. It answers fault.Limited at once while
// the platform limits us, and fault.Unavailable when the turn does not come within
// the context.
func (g *Gate) Do(ctx context.Context, call Call, f func(context.Context) error) error {
	if err := g.open(); err != nil {
		return err
	}
	release, err := g.acquire(ctx, call)
	if err != nil {
		return err
	}
	defer release()
	// Those in front may have been told to wait while this one stood in the queue.
	if err := g.open(); err != nil {
		return err
	}
	start := time.Now()
	err = f(ctx)
	g.metrics.Called(string(call), g.config, time.Since(start), err)
	g.learn(err)
	return err
}

func (g *Gate) open() error {
	if wait := g.Limited(); wait > 0 {
		return fault.LimitedFor(wait, "the platform limits config %q for another %s; try again then", g.config, wait.Round(time.Second))
	}
	return nil
}

func (g *Gate) acquire(ctx context.Context, call Call) (release func(), err error) {
	g.mu.Lock()
	turns := []*semaphore.Weighted{g.all}
	if call == Revoke {
		turns = []*semaphore.Weighted{g.revocations, g.all}
	}
	g.mu.Unlock()
	start := time.Now()
	release = func() {}
	for _, turn := range turns {
		if err := turn.Acquire(ctx, 1); err != nil {
			release()
			return nil, fault.New(fault.Unavailable, "config %q is busy: no turn came in time (max_concurrency %d)", g.config, g.Size())
		}
		before := release
		release = func() { turn.Release(1); before() }
	}
	g.metrics.Waited(string(call), g.config, time.Since(start))
	return release, nil
}

// learn notes the wait that the platform asked for. Where it named none, each such
// answer in a row doubles the wait: whoever persists gets banned.
func (g *Gate) learn(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Limited || f.RetryAfter <= 0 {
		if err == nil {
			g.strikes = 0
		}
		return
	}
	now, wait := g.now(), f.RetryAfter
	if f.Guessed {
		if now.Before(g.limitedUntil) {
			return // calls that were in flight together were limited together
		}
		wait = min(wait<<min(g.strikes, 10), mostWait)
		g.strikes++
	}
	if until := now.Add(wait); until.After(g.limitedUntil) {
		g.limitedUntil = until
	}
}
