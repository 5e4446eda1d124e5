// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"context"
	"hash/fnv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Ledger is the records and the log of one mount.
type Ledger struct {
	storage logical.Storage
	now     func() time.Time
	logger  hclog.Logger
	log     *Log
	census  *census
	stats   *stats
	uses    *uses

	// rows orders the changes of one record. They are held over our own storage,
	// never over a platform.
	rows [256]sync.Mutex

	mu sync.Mutex
	// telling holds the ends that were told but are not stored in all their parts
	// yet, so that another try does not tell them twice, or otherwise.
	telling map[string]*telling
	// doubts are writes whose answer was lost.
	doubts map[string]*doubt

	// settings orders those who change them.
	settings sync.Mutex

	legacy legacy
	// term names this process in the records that it writes.
	term string
}

// New makes the ledger. term is a name that no process before had. It answers
// reads at once; Start brings it up to date with what its predecessor left.
func New(storage logical.Storage, term string, now func() time.Time, logger hclog.Logger) *Ledger {
	l := &Ledger{
		storage: storage, now: now, logger: logger, term: term,
		census: newCensus(term), stats: newStats(storage), uses: newUses(),
		telling: map[string]*telling{}, doubts: map[string]*doubt{},
	}
	l.log = newLog(storage, now, func(seq uint64, e Event) { l.stats.fold(seq, statOf(e)) })
	return l
}

func (l *Ledger) row(id string) *sync.Mutex {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return &l.rows[h.Sum32()%uint32(len(l.rows))]
}

// Reserve takes one of the role's max_active places, for a token that is to be made
// through a config at an endpoint, until it is released or a record is opened in it;
// zero is no limit. It fails with fault.Denied when none is free, and
// fault.Unavailable while they are still being counted.
func (l *Ledger) Reserve(role string, most int, config, baseURL string) (*Place, error) {
	return l.census.reserve(role, most, endpoint{config, baseURL})
}

// Room is nil where Reserve would succeed now. It takes no place, not even for a
// moment: somebody who only asks must not be in the way of one who needs it.
func (l *Ledger) Room(role string, most int) error {
	l.census.mu.Lock()
	defer l.census.mu.Unlock()
	return l.census.room(role, most)
}

// LiveAt counts the tokens that are live, and those that are being made, through a
// config at an endpoint, or at all of its endpoints where none is given.
func (l *Ledger) LiveAt(config, baseURL string) (int, error) {
	return l.census.liveAt(config, baseURL)
}

// LiveOf counts the live tokens of a role.
func (l *Ledger) LiveOf(role string) int { return l.census.liveOf(role) }

// LiveTotal counts all live tokens.
func (l *Ledger) LiveTotal() int { return l.census.total() }

// Ready reports whether the live tokens have been counted since the start.
func (l *Ledger) Ready() bool { return l.census.isReady() }

// Live returns the live record of that id, or nil where there is none.
func (l *Ledger) Live(ctx context.Context, id string) (*Live, error) {
	if !ValidID(id) {
		return nil, nil
	}
	return l.readLive(ctx, liveKey(id))
}

func (l *Ledger) readLive(ctx context.Context, key string) (*Live, error) {
	var live Live
	found, err := store.Get(ctx, l.storage, key, &live)
	if err != nil || !found {
		return nil, err
	}
	l.uses.show(&live.Record)
	return &live, nil
}

// Change reads a live record, has f change it, and writes it back, all in one
// turn. f may refuse with an error; then nothing is written. A token that is dead
// by now is fault.NotFound.
func (l *Ledger) Change(ctx context.Context, id string, f func(*Live) error) (*Live, error) {
	if err := l.takeUp(ctx); err != nil {
		return nil, err
	}
	row := l.row(id)
	row.Lock()
	defer row.Unlock()
	live, err := l.Live(ctx, id)
	if err != nil {
		return nil, err
	}
	if live == nil {
		return nil, fault.New(fault.NotFound, "token %q is dead or was never issued here", id)
	}
	l.meet(live)
	l.resolve(id, live)
	before := *live
	if err := f(live); err != nil {
		return nil, err
	}
	if err := store.Put(ctx, l.storage, liveKey(id), live); err != nil {
		l.doubted(&doubt{counted: outline(&before)})
		return nil, err
	}
	l.catchUp(&before)
	l.uses.stored(id)
	l.census.changed(&before, live)
	return live, nil
}

// Tell puts an event into the log and returns once it is on storage.
func (l *Ledger) Tell(ctx context.Context, e Event) error {
	if err := l.takeUp(ctx); err != nil {
		return err
	}
	return l.log.sync(ctx, l.log.add(e, 0))
}

// Note puts an event into the log; it is stored within half a second. It is for
// events of what was just opened or changed.
func (l *Ledger) Note(e Event) { l.log.add(e, 0) }

// Flush stores everything that the log holds back.
func (l *Ledger) Flush(ctx context.Context) error {
	if err := l.takeUp(ctx); err != nil {
		return err
	}
	return l.log.Flush(ctx)
}

// Events gives a page of the log: see Log.Events.
func (l *Ledger) Events(ctx context.Context, after string, limit int) ([]string, string, error) {
	if err := l.takeUp(ctx); err != nil {
		return nil, "", err
	}
	return l.log.Events(ctx, after, limit)
}
