// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"sync"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// census counts live tokens: by role for max_active, by config and endpoint for
// who still needs a credential, and by shard and due time for the sweep. It holds
// numbers, not tokens: its size goes with roles and hours, never with the ledger's.
//
// After a start it is filled by one pass over the live records. Until then it
// answers nothing: a counter that was lost must not read as zero.
type census struct {
	mu    sync.Mutex
	ready bool

	roles     map[string]int
	endpoints map[endpoint]int
	due       map[dueSlot]int
	// reserved are credentials of a role that are being made, making those made through
	// a config at an endpoint: they will need its credential.
	reserved map[string]int
	making   map[endpoint]int

	// before holds back what happens to earlier records while the pass is under way.
	before map[string]held
	// term names this process: its own records are counted as they come.
	term string
}

type endpoint struct{ config, baseURL string }

// dueSlot is a quarter of a minute in which leases of a shard end.
type dueSlot struct {
	shard string
	slot  int64
}

// held is what became of an earlier record during the pass.
type held struct {
	gone bool
	live *Live
}

const dueSlotSeconds = 15

func newCensus(term string) *census {
	return &census{
		term:  term,
		roles: map[string]int{}, endpoints: map[endpoint]int{}, due: map[dueSlot]int{},
		reserved: map[string]int{}, making: map[endpoint]int{}, before: map[string]held{},
	}
}

// slotOf is where a record is due; one that is being revoked is in the queue and
// no longer the sweep's to find.
func slotOf(l *Live) (slot dueSlot, due bool) {
	return dueSlot{shardOf(l.TokenID), l.LeaseUntil.Unix() / dueSlotSeconds}, l.Status == Active
}

// opened counts a new record, in the place that was held for it. Both at once: in
// between, one credential would count as two or as none.
func (c *census) opened(l *Live) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(l, 1)
	l.Place.give()
}

// changed moves a record to where it is due now.
func (c *census) changed(old, l *Live) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ready && l.Term != c.term {
		c.before[l.TokenID] = held{live: l}
		return
	}
	c.countDue(old, -1)
	c.countDue(l, 1)
}

// keep has a record counted as it is here, whatever the pass under way finds.
func (c *census) keep(l *Live) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ready && l.Term != c.term {
		c.before[l.TokenID] = held{live: l}
	}
}

// closed takes a record out.
func (c *census) closed(l *Live) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ready && l.Term != c.term {
		c.before[l.TokenID] = held{gone: true}
		return
	}
	c.count(l, -1)
}

// fill ends the pass: the records that it found are counted as they stand now.
func (c *census) fill(found []*Live) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range found {
		if h, ok := c.before[l.TokenID]; ok {
			if h.gone {
				continue
			}
			l = h.live
		}
		c.count(l, 1)
	}
	c.before = nil
	c.ready = true
}

func (c *census) count(l *Live, n int) {
	bump(c.roles, l.Role, n)
	bump(c.endpoints, endpoint{l.Config, l.BaseURL}, n)
	c.countDue(l, n)
}

func (c *census) countDue(l *Live, n int) {
	if slot, due := slotOf(l); due {
		bump(c.due, slot, n)
	}
}

func bump[K comparable](m map[K]int, key K, n int) {
	if m[key] += n; m[key] <= 0 {
		delete(m, key)
	}
}

// overdue lists the shards that hold leases which ended before the given time.
func (c *census) overdue(before time.Time) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	shards := map[string]bool{}
	for slot := range c.due {
		if (slot.slot+1)*dueSlotSeconds <= before.Unix() {
			shards[slot.shard] = true
		}
	}
	list := make([]string, 0, len(shards))
	for shard := range shards {
		list = append(list, shard)
	}
	return list
}

// Place is one of a role's max_active places, held for a credential that is being
// made. The record that is opened with it takes it over.
type Place struct {
	census *census
	role   string
	at     endpoint
	gone   bool
}

// Release gives the place back, unless a record has taken it over.
func (p *Place) Release() {
	p.census.mu.Lock()
	defer p.census.mu.Unlock()
	p.give()
}

// give ends the holding. Whoever calls it holds the census.
func (p *Place) give() {
	if p != nil && !p.gone {
		p.gone = true
		bump(p.census.reserved, p.role, -1)
		bump(p.census.making, p.at, -1)
	}
}

// reserve takes one of a role's max_active places for a credential that is being
// made at an endpoint. Zero is no limit.
func (c *census) reserve(role string, most int, at endpoint) (*Place, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.room(role, most); err != nil {
		return nil, err
	}
	c.reserved[role]++
	c.making[at]++
	return &Place{census: c, role: role, at: at}, nil
}

// room is nil where one of the places is free. Whoever calls it holds mu.
func (c *census) room(role string, most int) error {
	if most == 0 {
		return nil
	}
	if !c.ready {
		return errCounting()
	}
	if live := c.roles[role] + c.reserved[role]; live >= most {
		return fault.New(fault.Denied, "max_active: role %q has %d live credential(s) and may have %d; revoke one or wait for one to end", role, live, most)
	}
	return nil
}

// liveAt counts by config and endpoint what is live and what is being made; an empty
// endpoint is all of them.
func (c *census) liveAt(config, baseURL string) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ready {
		return 0, errCounting()
	}
	n := 0
	for _, counts := range []map[endpoint]int{c.endpoints, c.making} {
		for e, count := range counts {
			if e.config == config && (baseURL == "" || e.baseURL == baseURL) {
				n += count
			}
		}
	}
	return n, nil
}

// liveOf counts a role's live tokens.
func (c *census) liveOf(role string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roles[role]
}

// total counts all live tokens.
func (c *census) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, count := range c.roles {
		n += count
	}
	return n
}

func (c *census) isReady() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready
}

func errCounting() error {
	return fault.New(fault.Unavailable, "live tokens are still being counted after a start; try again in a few seconds")
}
