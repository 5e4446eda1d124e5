// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package revoke kills tokens. Whoever asks (a lease that ends, an operator, an
// exposure, the sweep, the queue), it is the same function that does it.
package revoke

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/connect"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/metrics"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

const (
	// callBudget bounds one try: Vault holds a worker and a lock meanwhile.
	callBudget = 5 * time.Second
	// observeBudget is what of it may go to asking when the token was last used.
	observeBudget = 2 * time.Second
	// bookBudget bounds what we write of it.
	bookBudget = 15 * time.Second
	// bookAtOnce is how many ends are written at the same time. Each is some storage
	// writes one after the other, and so is what Vault does with the lease then: ten
	// thousand leases that end together would fill Vault's write queue, and the job
	// that starts now would stand at its end. The platform's part is bounded by the
	// config's own gate, and does not wait here.
	bookAtOnce = 3
	// vaultTries is how often a try of Vault's may fail. Vault gives up after six
	// and then holds an irrevocable lease for ever; the third is answered with
	// success and the engine goes on alone.
	vaultTries = 3
)

// Service revokes the tokens of one mount.
type Service struct {
	ledger      *ledger.Ledger
	connections *connect.Service
	storage     logical.Storage
	now         func() time.Time
	logger      hclog.Logger
	metrics     *metrics.Metrics

	// flight lets all who want the same token dead share one call.
	flight singleflight.Group
	// booking has bookAtOnce places.
	booking *semaphore.Weighted
	queue   *queue
	orders  *orders
}

// New makes the service.
func New(storage logical.Storage, l *ledger.Ledger, c *connect.Service, now func() time.Time, logger hclog.Logger, m *metrics.Metrics) *Service {
	return &Service{
		ledger: l, connections: c, storage: storage, now: now, logger: logger, metrics: m,
		booking: semaphore.NewWeighted(bookAtOnce), queue: newQueue(now), orders: newOrders(),
	}
}

// Token kills one token. It returns nil when the token is dead, and the platform's
// error when it could not be killed: the record is then `revoking` and the queue
// goes on trying. A token that is not live any more is success.
func (s *Service) Token(ctx context.Context, id string, by ledger.Cause) error {
	_, err, _ := s.flight.Do(id, func() (any, error) {
		// Neither a caller that goes away nor one that shares this call may stop it
		// between the platform's answer and our record of it.
		return nil, s.try(context.WithoutCancel(ctx), id, by)
	})
	return err
}

// Lease kills the token of a lease on Vault's behalf. From the third failed try on
// it answers with success and the revocation is the queue's alone.
func (s *Service) Lease(ctx context.Context, id string) error {
	err := s.Token(ctx, id, ledger.ByLease)
	if err == nil {
		return nil
	}
	book, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookBudget)
	defer cancel()
	if s.handOver(book, id, err) {
		return nil
	}
	return err
}

// handOver counts a failed try of Vault's. It reports whether Vault may forget the
// lease: the token is dead by now, or the queue has it and storage says so.
func (s *Service) handOver(ctx context.Context, id string, cause error) bool {
	live, err := s.ledger.Live(ctx, id)
	if err != nil || live == nil {
		return err == nil
	}
	last := live.VaultTries+1 >= vaultTries
	if last && !live.HandedOver {
		// First the log: once the record says so, nobody tells it any more.
		err := s.ledger.Tell(ctx, ledger.Event{
			Type: ledger.EventHandedOver, Time: s.now(), Record: &live.Record,
			More: map[string]any{"attempts": live.Attempts, "error": cmp.Or(live.LastError, cause.Error())},
		})
		if err != nil {
			return false
		}
		s.logger.Warn("revocation is handed over to the engine's queue", "token_id", id, "config", live.Config, "error", cause)
	}
	live, err = s.ledger.Change(ctx, id, func(l *ledger.Live) error {
		l.VaultTries++
		l.HandedOver = l.HandedOver || last
		l.Status, l.Killed = ledger.Revoking, cmp.Or(l.Killed, ledger.ByLease)
		return nil
	})
	if err != nil {
		return fault.Is(err, fault.NotFound)
	}
	s.queue.add(live)
	return last
}

// try makes one try and books what came of it. Whatever it fails with, our own
// storage included, the token is owed from then on.
func (s *Service) try(ctx context.Context, id string, by ledger.Cause) error {
	live, err := s.ledger.Live(ctx, id)
	if err == nil && live == nil {
		err = s.gone(ctx, id)
	}
	if err != nil {
		s.queue.addUnread(id, by)
		return err
	}
	if live == nil {
		return nil
	}
	if err := s.end(ctx, live, by); err != nil {
		s.queue.add(live)
		return err
	}
	return nil
}

// end kills a token whose record is there.
func (s *Service) end(ctx context.Context, live *ledger.Live, by ledger.Cause) error {
	by = cmp.Or(live.Killed, by)
	if live.DeadByItself(s.now()) {
		return s.close(ctx, live, ledger.Ending{Status: ledger.Expired, By: ledger.ByExpiry, At: s.now()})
	}
	used, err := s.call(ctx, live)
	s.bookUse(ctx, live, used)
	if err != nil {
		return s.failed(ctx, live, by, err)
	}
	s.queue.succeeded(laneOf(&live.Record))
	return s.close(ctx, live, ledger.Ending{Status: ledger.Revoked, By: by, At: s.now()})
}

// call tells the platform, through the newest connection to where it was made. Where
// the platform tells, used is when it saw the token last.
func (s *Service) call(ctx context.Context, live *ledger.Live) (used time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, callBudget)
	defer cancel()
	link, err := s.connections.LinkAt(ctx, live.Config, live.BaseURL)
	if err != nil {
		return used, err
	}
	handle := providers.Handle{Value: live.Handle, MintedAt: live.IssuedAt}
	used = s.observe(ctx, link, live, handle)
	return used, s.connections.Call(ctx, link, connect.Revoke, func(ctx context.Context, c providers.Connection) error {
		return c.Revoke(ctx, handle)
	})
}

// observe asks when the platform saw the token last, where it tells: after the
// revocation nobody can ask any more. That it fails holds up nothing.
func (s *Service) observe(ctx context.Context, link *connect.Link, live *ledger.Live, handle providers.Handle) (used time.Time) {
	observer, tells := link.Connection.(providers.Observer)
	if !tells {
		return used
	}
	asking, cancel := context.WithTimeout(ctx, observeBudget)
	defer cancel()
	// It is a part of the revocation, and takes none of the places that are the mints'.
	err := link.Gate.Do(asking, connect.Revoke, func(ctx context.Context) (err error) {
		used, err = observer.LastUsed(ctx, handle)
		return err
	})
	if err != nil {
		s.logger.Debug("the last use of a token is not known", "token_id", live.TokenID, "error", err)
		return time.Time{}
	}
	if !used.IsZero() && used.Before(live.IssuedAt) {
		return live.IssuedAt // it tells less exactly than we know
	}
	return used
}

// bookUse puts on record what was observed; the zero time is nothing.
func (s *Service) bookUse(ctx context.Context, live *ledger.Live, used time.Time) {
	if !used.After(live.LastUsedAt) {
		return
	}
	err := s.ledger.Used(ctx, &live.Record, ledger.Use{At: used, Action: "observed", ReportedBy: "platform"})
	if err != nil {
		s.logger.Debug("the last use of a token is not on record", "token_id", live.TokenID, "error", err)
	}
}

func (s *Service) close(ctx context.Context, live *ledger.Live, end ledger.Ending) error {
	ctx, cancel := context.WithTimeout(ctx, bookBudget)
	defer cancel()
	if err := s.booking.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("revoke: record the end of %s: %w", live.TokenID, err)
	}
	defer s.booking.Release(1)
	if err := s.ledger.Close(ctx, live.TokenID, end); err != nil {
		return fmt.Errorf("revoke: record the end of %s: %w", live.TokenID, err)
	}
	s.settled(live.TokenID)
	s.metrics.Closed(live.Config, string(end.By))
	s.logger.Debug("token is dead", "token_id", live.TokenID, "role", live.Role, "by", end.By)
	return nil
}

// settled takes a dead token out of whatever waits for its end.
func (s *Service) settled(id string) {
	s.queue.remove(id)
	s.orders.died(id)
}

// gone takes note that a token has no live record.
func (s *Service) gone(ctx context.Context, id string) error {
	if err := s.ledger.Settle(ctx, id); err != nil {
		return err
	}
	s.settled(id)
	return nil
}

// failed books a failed try. The record says `revoking` from the first one on, and
// why the token is to die, so that no renewal keeps it.
func (s *Service) failed(ctx context.Context, live *ledger.Live, by ledger.Cause, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, bookBudget)
	defer cancel()
	unbooked := func(err error) error {
		return fmt.Errorf("revoke: record the failed try for %s: %w (it failed with: %w)", live.TokenID, err, cause)
	}
	if live.Attempts == 0 {
		// First the log: once the record says so, nobody tells it any more.
		if err := s.ledger.Tell(ctx, ledger.Event{
			Type: ledger.EventRevocationFailed, Time: s.now(), Record: &live.Record,
			More: map[string]any{"attempts": live.Attempts + 1, "error": cause.Error()},
		}); err != nil {
			return unbooked(err)
		}
	}
	_, err := s.ledger.Change(ctx, live.TokenID, func(l *ledger.Live) error {
		l.Status, l.Killed = ledger.Revoking, by
		l.Attempts++
		l.LastError = cause.Error()
		return nil
	})
	if fault.Is(err, fault.NotFound) {
		return nil // dead by now
	}
	if err != nil {
		return unbooked(err)
	}
	return fmt.Errorf("revoke %s: %w", live.TokenID, cause)
}

// Queued is how many revocations the engine owes and how old the oldest is.
func (s *Service) Queued() (length int, oldest time.Duration) { return s.queue.size() }

// Adopt puts a token into the queue.
func (s *Service) Adopt(live *ledger.Live) { s.queue.add(live) }
