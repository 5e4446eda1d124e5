// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package revoke

import (
	"context"
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
	mostDelay = 50 * time.Second
)

// queue holds the revocations that the engine owes, in a lane for each endpoint of
// each config: one platform that is down delays no other. While a lane fails, one
// token at a time is tried, ever more seldom; the first success opens it.
type queue struct {
	now func() time.Time

	mu    sync.Mutex
	lanes map[laneKey]*lane
	of    map[string]laneKey
}

type laneKey struct{ config, baseURL string }

type lane struct {
	owed    map[string]owed
	backoff *backoff.ExponentialBackOff
	// next is when the lane may be tried again; zero while it is well.
	next    time.Time
	running bool
}

// owed is one revocation.
type owed struct {
	since time.Time
	// end is when the platform ends the token by itself; zero where it never does.
	end time.Time
	// next is when this very token is tried again, where it fails by itself.
	next  time.Time
	tries int
}

func newQueue(now func() time.Time) *queue {
	return &queue{now: now, lanes: map[laneKey]*lane{}, of: map[string]laneKey{}}
}

func (q *queue) add(l *ledger.Live) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, known := q.of[l.TokenID]; known {
		return
	}
	key := laneKey{l.Config, l.BaseURL}
	if q.lanes[key] == nil {
		b := backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(firstDelay), backoff.WithMaxInterval(mostDelay),
			backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0.2), backoff.WithMaxElapsedTime(0))
		q.lanes[key] = &lane{owed: map[string]owed{}, backoff: b}
	}
	o := owed{since: q.now()}
	if l.EndsItself {
		o.end = l.ExpiresAt
	}
	q.lanes[key].owed[l.TokenID] = o
	q.of[l.TokenID] = key
}

func (q *queue) remove(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
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
	return len(q.of), oldest
}

// due gives the tokens of a lane to try now: those that the platform has ended by
// itself, whatever the lane's state, and of the others one while the lane fails,
// all while it is well.
func (q *queue) due(l *lane) (ids []string) {
	now := q.now()
	for id, o := range l.owed {
		switch {
		case !o.end.IsZero() && now.After(o.end.Add(time.Minute)):
			ids = append(ids, id)
		case now.Before(l.next) || now.Before(o.next):
		case !l.next.IsZero():
			return []string{id}
		default:
			ids = append(ids, id)
		}
	}
	return ids
}

// succeeded opens the lane.
func (q *queue) succeeded(key laneKey) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.lanes[key]; l != nil {
		l.next = time.Time{}
		l.backoff.Reset()
	}
}

// failed closes the lane for a while where the platform is at fault, and puts off
// the one token where only that fails. It reports whether the lane is closed.
func (q *queue) failed(key laneKey, id string, err error) (closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lanes[key]
	if l == nil {
		return true
	}
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Limited, fault.Unauthorized:
		l.next = q.now().Add(max(l.backoff.NextBackOff(), fault.RetryAfter(err)))
		return true
	}
	o := l.owed[id]
	o.tries++
	o.next = q.now().Add(min(mostDelay, firstDelay<<min(o.tries, 6)))
	if _, still := l.owed[id]; still {
		l.owed[id] = o
	}
	return false
}

// RunQueue tries what is due, each lane by itself and in the background; wait, for
// those who want to see the end of it, blocks until all lanes have come to rest.
func (s *Service) RunQueue(ctx context.Context) (wait func()) {
	var all sync.WaitGroup
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
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
			err := s.Token(ctx, id, ledger.BySweep)
			if err == nil {
				s.queue.succeeded(key)
				return nil
			}
			if s.queue.failed(key, id, err) {
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
