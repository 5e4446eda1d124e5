// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package revoke

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/sync/errgroup"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

const (
	firstDelay = time.Second
	// mostDelay keeps the promise that all is revoked within two minutes after a
	// platform is back.
	mostDelay = 40 * time.Second
	jitter    = 0.2
	// closesAfter is how many tries of a lane fail in a row before the platform, and
	// not the tokens, is taken to be at fault.
	closesAfter = 5
	// probes is how many tokens are tried at once while a lane is closed: those that
	// have waited longest, so that none that fails by itself keeps it closed.
	probes = 4
	// selfEnded is how long after its end a token is closed without a call.
	selfEnded = time.Minute
)

// queue holds the revocations that the engine owes, in a lane for each endpoint of
// each config: one platform that is down delays no other. While a lane is closed a
// few tokens are tried, ever more seldom; the first success opens it.
type queue struct {
	now func() time.Time

	mu    sync.Mutex
	lanes map[laneKey]*lane
	of    map[string]laneKey
	// unread are tokens that are owed too, and why: their records could not be read.
	unread map[string]ledger.Cause
	// reading: somebody tries to.
	reading bool
}

type laneKey struct{ config, baseURL string }

func laneOf(r *ledger.Record) laneKey { return laneKey{r.Config, r.BaseURL} }

type lane struct {
	owed    map[string]owed
	backoff *backoff.ExponentialBackOff
	// failures are the tries that failed since the last that did not.
	failures int
	// next is when the lane may be tried again; zero while it is open.
	next    time.Time
	running bool
}

// owed is one revocation.
type owed struct {
	since time.Time
	// end is when the platform ends the token by itself; zero where it never does.
	end time.Time
	// tried and tries tell of the tries of the queue; next is when the token is
	// tried again.
	tried, next time.Time
	tries       int
}

func newQueue(now func() time.Time) *queue {
	return &queue{now: now, lanes: map[laneKey]*lane{}, of: map[string]laneKey{}, unread: map[string]ledger.Cause{}}
}

func newLane() *lane {
	return &lane{owed: map[string]owed{}, backoff: backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstDelay), backoff.WithMaxInterval(mostDelay), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(jitter), backoff.WithMaxElapsedTime(0))}
}

func (q *queue) add(l *ledger.Live) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.unread, l.TokenID)
	if _, known := q.of[l.TokenID]; known {
		return
	}
	key := laneOf(&l.Record)
	if q.lanes[key] == nil {
		q.lanes[key] = newLane()
	}
	o := owed{since: q.now()}
	if l.LeaseUntil.Before(o.since) {
		o.since = l.LeaseUntil
	}
	if l.EndsItself {
		o.end = l.ExpiresAt
	}
	q.lanes[key].owed[l.TokenID] = o
	q.of[l.TokenID] = key
}

func (q *queue) remove(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.unread, id)
	key, known := q.of[id]
	if !known {
		return
	}
	delete(q.of, id)
	delete(q.lanes[key].owed, id)
	if len(q.lanes[key].owed) == 0 && !q.lanes[key].running {
		delete(q.lanes, key)
	}
}

func (q *queue) size() (length int, oldest time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range q.lanes {
		for _, o := range l.owed {
			oldest = max(oldest, q.now().Sub(o.since))
		}
	}
	return len(q.of) + len(q.unread), oldest
}

// closed reports whether the platform of a lane is taken to be at fault.
func (q *queue) closed(key laneKey) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lanes[key]
	return l != nil && !l.next.IsZero()
}

// due gives the tokens of a lane to try now: those that the platform has ended by
// itself, whatever the lane's state, and of the others those whose turn it is while
// the lane is open, a few while it is closed.
func (q *queue) due(l *lane) (ids []string) {
	now := q.now()
	var waiting []string
	for id, o := range l.owed {
		switch {
		case !o.end.IsZero() && now.After(o.end.Add(selfEnded)):
			ids = append(ids, id)
		case l.next.IsZero() && now.Before(o.next):
		default:
			waiting = append(waiting, id)
		}
	}
	switch {
	case now.Before(l.next):
		return ids
	case !l.next.IsZero() && len(waiting) > probes:
		slices.SortFunc(waiting, func(a, b string) int { return l.owed[a].tried.Compare(l.owed[b].tried) })
		waiting = waiting[:probes]
	}
	return append(ids, waiting...)
}

// succeeded opens the lane: what waited for the platform waits no longer.
func (q *queue) succeeded(key laneKey) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lanes[key]
	if l == nil {
		return
	}
	l.failures = 0
	if l.next.IsZero() {
		return
	}
	l.next = time.Time{}
	l.backoff.Reset()
	for id, o := range l.owed {
		o.next = time.Time{}
		l.owed[id] = o
	}
}

// failed puts the token off, and closes the lane for a while where the platform is at
// fault: it says that it limits us, or nothing else has come of the last tries. It
// reports whether the lane is closed.
func (q *queue) failed(key laneKey, id string, err error) (closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lanes[key]
	if l == nil {
		return true
	}
	now, wait := q.now(), fault.RetryAfter(err)
	if !fault.Is(err, fault.Limited) {
		wait = min(wait, mostDelay) // who is down does not know when it will be back
	}
	if o, still := l.owed[id]; still {
		o.tries++
		o.tried = now
		o.next = now.Add(max(wait, min(mostDelay, firstDelay<<min(o.tries, 6))))
		l.owed[id] = o
	}
	l.failures++
	if now.Before(l.next) {
		return true // tries that were under way together have failed together
	}
	switch fault.KindOf(err) {
	case fault.Limited:
		l.next = now.Add(max(wait, l.backoff.NextBackOff()))
	case fault.Unavailable, fault.Unauthorized:
		if l.failures >= closesAfter || !l.next.IsZero() {
			l.next = now.Add(l.backoff.NextBackOff())
		}
	}
	return now.Before(l.next)
}

// RunQueue tries what is due, each lane by itself and in the background; wait, for
// those who want to see the end of it, blocks until all lanes have come to rest.
func (s *Service) RunQueue(ctx context.Context) (wait func()) {
	var all sync.WaitGroup
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	if unread := s.queue.claimUnread(); len(unread) > 0 {
		all.Go(func() { s.readAgain(ctx, unread) })
	}
	for key, l := range s.queue.lanes {
		if l.running {
			continue
		}
		ids := s.queue.due(l)
		if len(ids) == 0 {
			continue
		}
		l.running = true
		all.Go(func() {
			defer s.queue.rest(key)
			s.runLane(ctx, key, ids)
		})
	}
	return all.Wait
}

func (q *queue) rest(key laneKey) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.lanes[key]; l != nil {
		if l.running = false; len(l.owed) == 0 {
			delete(q.lanes, key)
		}
	}
}

// runLane tries tokens of one lane, a few at once, until the lane closes.
func (s *Service) runLane(ctx context.Context, key laneKey, ids []string) {
	workers, stop := errgroup.WithContext(ctx)
	workers.SetLimit(s.workers(ctx, key))
	for _, id := range ids {
		workers.Go(func() error {
			if stop.Err() != nil {
				return nil
			}
			if err := s.Token(ctx, id, ledger.BySweep); err != nil && s.queue.failed(key, id, err) {
				return err
			}
			return nil
		})
	}
	_ = workers.Wait() // each failure is in its token's record
}

// workers is how many revocations of a config run at once.
func (s *Service) workers(ctx context.Context, key laneKey) int {
	link, err := s.connections.LinkAt(ctx, key.config, key.baseURL)
	if err != nil {
		return 1
	}
	return link.Gate.Size()
}
