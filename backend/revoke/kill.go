// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package revoke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/hashicorp/go-uuid"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// killAtOnce is how many tokens a kill revokes before it answers; the queue takes
// the rest.
const killAtOnce = 100

// killMargin is how long after a kill a token may be issued that it still means: one
// that was being made then, or by a clock that was ahead.
const killMargin = 5 * time.Second

// Kill revokes all live tokens that match: the first hundred before it returns, the
// others through the queue. The order is on storage before it begins, so that a
// successor carries on. who is for the log.
func (s *Service) Kill(ctx context.Context, f Filter, who map[string]any) (Order, error) {
	if f == (Filter{}) {
		return Order{}, fault.New(fault.Invalid, "give at least one of role, stage, environment, owner, config, repository, entity_id")
	}
	id, err := uuid.GenerateUUID()
	if err != nil {
		return Order{}, fmt.Errorf("revoke: %w", err)
	}
	of := &order{Order: Order{ID: id, Filter: f, OrderedAt: s.now().UTC()}, alive: map[string]bool{}, busy: true}
	s.orders.know(id)
	if err := store.Put(ctx, s.storage, store.Kills+id, of.Order); err != nil {
		return Order{}, err
	}
	s.orders.add(of)
	defer s.orders.release(of)
	facts := map[string]any{"filter": f.String(), "kill_id": id}
	maps.Copy(facts, who)
	if err := s.ledger.Tell(ctx, ledger.Event{Type: ledger.EventKillOrdered, Time: s.now(), More: facts}); err != nil {
		return Order{}, err
	}
	// A caller that goes away does not call a kill off.
	ctx = context.WithoutCancel(ctx)
	matched, err := s.look(ctx, of)
	if err != nil {
		return Order{}, err
	}
	_ = each(ctx, matched[:min(len(matched), killAtOnce)], func(live *ledger.Live) error {
		return s.Token(ctx, live.TokenID, ledger.ByKill)
	}) // what failed is marked below
	if len(matched) <= killAtOnce {
		err = s.carryOn(ctx, of)
	}
	seen, _ := s.orders.see(of)
	return seen, err
}

// look finds the live tokens that an order is for: those that were issued before it.
func (s *Service) look(ctx context.Context, of *order) (matched []*ledger.Live, err error) {
	latest := of.OrderedAt.Add(killMargin)
	err = s.ledger.EachLive(ctx, func(live *ledger.Live) bool {
		if of.Filter.Match(&live.Record) && !live.IssuedAt.After(latest) && (!of.Marked || live.Killed != "") {
			matched = append(matched, outline(live.TokenID))
		}
		return true
	})
	if err == nil {
		s.orders.looked(of, matched)
	}
	return matched, err
}

func outline(id string) *ledger.Live { return &ledger.Live{Record: ledger.Record{TokenID: id}} }

// RunKills carries on with the orders that are not done, those that a predecessor left
// included. What fails is tried again with the next call, and holds up nothing else.
func (s *Service) RunKills(ctx context.Context) error {
	failures := []error{s.resumeKills(ctx)}
	for _, of := range s.orders.claim() {
		failures = append(failures, s.carryOn(ctx, of))
		s.orders.release(of)
	}
	return errors.Join(failures...)
}

// carryOn marks what an order has yet to mark, and tells when all that it means is
// dead. Whoever calls it has claimed the order.
func (s *Service) carryOn(ctx context.Context, of *order) error {
	if !of.found {
		if _, err := s.look(ctx, of); err != nil {
			return err
		}
	}
	seen, alive := s.orders.see(of)
	if !seen.Marked {
		err := each(ctx, alive, func(live *ledger.Live) error { return s.enqueue(ctx, live.TokenID, ledger.ByKill) })
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if seen = s.orders.marked(of); seen.Queued > 0 {
			return store.Put(ctx, s.storage, store.Kills+seen.ID, seen)
		}
	}
	if seen.Queued > 0 {
		return nil
	}
	if err := s.ledger.Tell(ctx, ledger.Event{Type: ledger.EventKillDone, Time: s.now(), More: map[string]any{
		"kill_id": seen.ID, "filter": seen.Filter.String(), "matched": seen.Matched, "revoked": seen.Dead,
	}}); err != nil {
		return err
	}
	s.orders.finished(of)
	return store.Delete(ctx, s.storage, store.Kills+seen.ID)
}

// enqueue marks a token to die and leaves it to the queue.
func (s *Service) enqueue(ctx context.Context, id string, by ledger.Cause) error {
	live, err := s.ledger.Change(ctx, id, func(l *ledger.Live) error {
		l.Status, l.Killed = ledger.Revoking, cmp.Or(l.Killed, by)
		return nil
	})
	if fault.Is(err, fault.NotFound) {
		return s.gone(ctx, id)
	}
	if err != nil {
		return err
	}
	s.queue.add(live)
	return nil
}

// resumeKills takes up the orders that a predecessor left, until all of them are read.
func (s *Service) resumeKills(ctx context.Context) error {
	if s.orders.isResumed() {
		return nil
	}
	ids, err := store.List(ctx, s.storage, store.Kills)
	if err != nil {
		return err
	}
	var failures []error
	for _, id := range ids {
		of := &order{alive: map[string]bool{}, resumed: true}
		found, err := store.Get(ctx, s.storage, store.Kills+id, &of.Order)
		failures = append(failures, err)
		if err == nil && found && s.orders.know(id) {
			s.orders.add(of)
		}
	}
	err = errors.Join(failures...)
	if err == nil {
		s.orders.allResumed()
	}
	return err
}
