// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package revoke

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-uuid"
	"golang.org/x/sync/errgroup"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// killAtOnce is how many tokens a kill revokes before it answers; the queue takes
// the rest.
const killAtOnce = 100

// Filter says which tokens a kill is for. What is empty matches all; all that is
// given must match.
type Filter struct {
	Role        string `json:"role,omitempty"`
	Stage       string `json:"stage,omitempty"`
	Environment string `json:"environment,omitempty"`
	Owner       string `json:"owner,omitempty"`
	Config      string `json:"config,omitempty"`
	Repository  string `json:"repository,omitempty"`
	EntityID    string `json:"entity_id,omitempty"`
}

// Match reports whether a record is meant.
func (f Filter) Match(r *ledger.Record) bool {
	for _, want := range [][2]string{
		{f.Role, r.Role}, {f.Stage, r.Stage}, {f.Environment, r.Environment},
		{f.Owner, r.Owner}, {f.Config, r.Config}, {f.EntityID, r.EntityID},
	} {
		if want[0] != "" && want[0] != want[1] {
			return false
		}
	}
	return f.Repository == "" || slices.ContainsFunc(r.Repositories, func(name string) bool {
		return strings.EqualFold(policy.FullName(r.Organization, name), policy.FullName(r.Organization, f.Repository))
	})
}

// String lists what is given, as operators write it.
func (f Filter) String() string {
	var given []string
	for _, field := range [][2]string{
		{"role", f.Role}, {"stage", f.Stage}, {"environment", f.Environment}, {"owner", f.Owner},
		{"config", f.Config}, {"repository", f.Repository}, {"entity_id", f.EntityID},
	} {
		if field[1] != "" {
			given = append(given, field[0]+"="+field[1])
		}
	}
	return strings.Join(given, " ")
}

// Order is a kill and how far it has come.
type Order struct {
	ID        string    `json:"id"`
	Filter    Filter    `json:"filter"`
	OrderedAt time.Time `json:"ordered_at"`
	// Matched tokens were live; Dead of them were revoked at once; the queue has
	// the others.
	Matched int  `json:"matched"`
	Dead    int  `json:"dead"`
	Queued  int  `json:"queued"`
	Done    bool `json:"done"`
}

// orders are the kills of this process, the latest last.
type orders struct {
	mu  sync.Mutex
	all []*Order
	seq int
}

// mostOrders is how many orders memory keeps for the report and for mints in flight.
const mostOrders = 1000

func newOrders() *orders { return &orders{} }

func (o *orders) add(order *Order) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, order)
	o.seq++
	if len(o.all) > mostOrders {
		o.all = o.all[1:]
	}
}

// Moment marks a point in the order of kills; a mint takes it before it begins.
func (s *Service) Moment() int {
	s.orders.mu.Lock()
	defer s.orders.mu.Unlock()
	return s.orders.seq
}

// KilledSince reports whether a kill that came after the moment means this record:
// it was not there yet to be found.
func (s *Service) KilledSince(moment int, r *ledger.Record) bool {
	s.orders.mu.Lock()
	defer s.orders.mu.Unlock()
	late := min(s.orders.seq-moment, len(s.orders.all))
	return slices.ContainsFunc(s.orders.all[len(s.orders.all)-late:], func(o *Order) bool { return o.Filter.Match(r) })
}

// Ordered reports whether a kill means this record that was issued before it, so
// that its lease is not renewed before its turn comes.
func (s *Service) Ordered(r *ledger.Record) bool {
	s.orders.mu.Lock()
	defer s.orders.mu.Unlock()
	return slices.ContainsFunc(s.orders.all, func(o *Order) bool {
		return !r.IssuedAt.After(o.OrderedAt) && o.Filter.Match(r)
	})
}

// Orders are the kills since the start, for the report.
func (s *Service) Orders() []Order {
	s.orders.mu.Lock()
	defer s.orders.mu.Unlock()
	list := make([]Order, len(s.orders.all))
	for i, o := range s.orders.all {
		list[i] = *o
	}
	return list
}

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
	order := &Order{ID: id, Filter: f, OrderedAt: s.now().UTC()}
	if err := store.Put(ctx, s.storage, store.Kills+id, order); err != nil {
		return Order{}, err
	}
	s.orders.add(order)
	facts := map[string]any{"filter": f.String(), "kill_id": id}
	for name, value := range who {
		facts[name] = value
	}
	if err := s.ledger.Tell(ctx, ledger.Event{Type: ledger.EventKillOrdered, Time: s.now(), More: facts}); err != nil {
		return Order{}, err
	}
	err = s.carryOut(context.WithoutCancel(ctx), order)
	s.orders.mu.Lock()
	defer s.orders.mu.Unlock()
	return *order, err
}

// carryOut finds what the order means and sees to it.
func (s *Service) carryOut(ctx context.Context, order *Order) error {
	var matched []*ledger.Live
	err := s.ledger.EachLive(ctx, func(live *ledger.Live) bool {
		if order.Filter.Match(&live.Record) {
			matched = append(matched, live)
		}
		return true
	})
	if err != nil {
		return err
	}
	now, later := matched[:min(len(matched), killAtOnce)], matched[min(len(matched), killAtOnce):]
	for _, live := range later {
		if err := s.enqueue(ctx, live.TokenID, ledger.ByKill); err != nil {
			return err
		}
	}
	dead := s.killNow(ctx, now)
	s.orders.mu.Lock()
	order.Matched, order.Dead, order.Queued, order.Done = len(matched), dead, len(matched)-dead, true
	s.orders.mu.Unlock()
	if err := s.ledger.Tell(ctx, ledger.Event{Type: ledger.EventKillDone, Time: s.now(), More: map[string]any{
		"kill_id": order.ID, "filter": order.Filter.String(), "matched": len(matched), "dead": dead, "queued": len(matched) - dead,
	}}); err != nil {
		return err
	}
	return store.Delete(ctx, s.storage, store.Kills+order.ID)
}

// killNow revokes some tokens side by side and counts the dead; the others are in
// the queue.
func (s *Service) killNow(ctx context.Context, tokens []*ledger.Live) (dead int) {
	results := make([]bool, len(tokens))
	workers := errgroup.Group{}
	workers.SetLimit(sweepAtOnce)
	for i, live := range tokens {
		workers.Go(func() error {
			results[i] = s.Token(ctx, live.TokenID, ledger.ByKill) == nil
			return nil
		})
	}
	_ = workers.Wait() // each failure is in its token's record
	for _, ok := range results {
		if ok {
			dead++
		}
	}
	return dead
}

// enqueue marks a token to die and leaves it to the queue.
func (s *Service) enqueue(ctx context.Context, id string, by ledger.Cause) error {
	live, err := s.ledger.Change(ctx, id, func(l *ledger.Live) error {
		l.Status, l.Killed = ledger.Revoking, by
		return nil
	})
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	s.queue.add(live)
	return nil
}

// ResumeKills carries out the orders that a predecessor left.
func (s *Service) ResumeKills(ctx context.Context) error {
	ids, err := store.List(ctx, s.storage, store.Kills)
	if err != nil {
		return err
	}
	for _, id := range ids {
		var order Order
		found, err := store.Get(ctx, s.storage, store.Kills+id, &order)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		s.orders.add(&order)
		if err := s.carryOut(ctx, &order); err != nil {
			return err
		}
	}
	return nil
}
