// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package revoke

import (
	"slices"
	"sync"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
)

// Order is a kill and how far it has come.
type Order struct {
	ID        string    `json:"id"`
	Filter    Filter    `json:"filter"`
	OrderedAt time.Time `json:"ordered_at"`
	// Matched tokens were live when they were looked for.
	Matched int `json:"matched"`
	// Marked: each of them is marked to die, so that a successor need not look for
	// more than those.
	Marked bool `json:"marked"`
	// Dead of them are, and Queued are still to die. Done is none of them left.
	Dead   int  `json:"-"`
	Queued int  `json:"-"`
	Done   bool `json:"-"`
}

// order is an Order under way.
type order struct {
	Order
	// alive are the tokens that are not known to be dead.
	alive map[string]bool
	// found: alive is complete.
	found bool
	// resumed: a predecessor was given it, so it means no mint of this process.
	resumed bool
	// busy: somebody carries it on at this moment.
	busy bool
}

// orders are the kills of this process, the latest last.
type orders struct {
	mu  sync.Mutex
	all []*order
	// seq counts them, those that memory has let go included.
	seq int
	// known are the ids of them; resumed is that those of predecessors are among them.
	known   map[string]bool
	resumed bool
}

// mostOrders is how many orders memory keeps for the report and for mints in flight.
const mostOrders = 1000

func newOrders() *orders { return &orders{known: map[string]bool{}} }

// know claims the id of an order; it is false where it was known.
func (o *orders) know(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.known[id]
	o.known[id] = true
	return !was
}

// allResumed notes that all that predecessors left is taken up.
func (o *orders) allResumed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.resumed = true
}

func (o *orders) isResumed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.resumed
}

func (o *orders) add(added *order) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, added)
	o.seq++
	if len(o.all) <= mostOrders {
		return
	}
	if i := slices.IndexFunc(o.all, func(old *order) bool { return old.Done }); i >= 0 {
		o.all = slices.Delete(o.all, i, i+1)
	}
}

// looked notes what an order found.
func (o *orders) looked(of *order, tokens []*ledger.Live) {
	o.mu.Lock()
	defer o.mu.Unlock()
	of.Matched = max(of.Matched, len(tokens))
	of.Dead, of.Queued = of.Matched-len(tokens), len(tokens)
	of.found = true
	for _, live := range tokens {
		of.alive[live.TokenID] = true
	}
}

// died counts a dead token for the orders that mean it.
func (o *orders) died(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, of := range o.all {
		if of.alive[id] {
			delete(of.alive, id)
			of.Dead, of.Queued = of.Dead+1, of.Queued-1
		}
	}
}

// claim gives the orders that are not done and that nobody carries on.
func (o *orders) claim() (list []*order) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, of := range o.all {
		if !of.Done && !of.busy {
			of.busy = true
			list = append(list, of)
		}
	}
	return list
}

// release lets others carry an order on.
func (o *orders) release(of *order) {
	o.mu.Lock()
	defer o.mu.Unlock()
	of.busy = false
}

// see is an order as it stands now, and which of its tokens are not known to be dead.
func (o *orders) see(of *order) (seen Order, alive []*ledger.Live) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range of.alive {
		alive = append(alive, outline(id))
	}
	return of.Order, alive
}

// marked notes that all of its tokens are marked or dead.
func (o *orders) marked(of *order) Order {
	o.mu.Lock()
	defer o.mu.Unlock()
	of.Marked = true
	return of.Order
}

// finished notes that the end of an order is on record.
func (o *orders) finished(of *order) {
	o.mu.Lock()
	defer o.mu.Unlock()
	of.Done = true
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
	return slices.ContainsFunc(s.orders.all[len(s.orders.all)-late:], func(o *order) bool { return !o.resumed && o.Filter.Match(r) })
}

// Ordered reports whether a kill means this record that was issued before it, so
// that its lease is not renewed before its turn comes.
func (s *Service) Ordered(r *ledger.Record) bool {
	s.orders.mu.Lock()
	defer s.orders.mu.Unlock()
	return slices.ContainsFunc(s.orders.all, func(o *order) bool {
		return !r.IssuedAt.After(o.OrderedAt) && o.Filter.Match(r)
	})
}

// Orders are the kills since the start, for the report.
func (s *Service) Orders() []Order {
	s.orders.mu.Lock()
	defer s.orders.mu.Unlock()
	list := make([]Order, len(s.orders.all))
	for i, o := range s.orders.all {
		list[i] = o.Order
	}
	return list
}
