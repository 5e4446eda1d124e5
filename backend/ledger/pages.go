// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// MostEvents is how many events one read gives at the most.
const MostEvents = 1000

// told is one event as it lies in the log.
type told struct {
	seq  uint64
	json json.RawMessage
}

// Events gives up to limit events after a cursor, oldest first, each as one JSON
// object, and the cursor to go on from. An empty cursor starts with the oldest.
func (l *Log) Events(ctx context.Context, after string, limit int) (events []string, next string, err error) {
	var seq uint64
	if after != "" {
		if seq, err = parseCursor(after); err != nil {
			return nil, "", err
		}
	}
	if limit < 1 || limit > MostEvents {
		return nil, "", fault.InvalidField("limit", "must be from 1 to %d", MostEvents)
	}
	// What happened before the question is part of the answer.
	if err := l.Flush(ctx); err != nil {
		return nil, "", err
	}
	events, next = []string{}, after
	err = l.read(ctx, seq, func(t told) bool {
		events = append(events, string(t.json))
		next = Cursor(t.seq)
		return len(events) < limit
	})
	return events, next, err
}

func parseCursor(s string) (uint64, error) {
	seq, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 {
		return 0, fault.InvalidField("after", "%q is no cursor: use `next` of an earlier answer, or leave it out to start with the oldest event", s)
	}
	return seq, nil
}

// read calls f with each event after seq, oldest first, until it says no. It lists
// the folders from the one before seq's on and reads the pages that it hands out.
func (l *Log) read(ctx context.Context, after uint64, f func(told) (more bool)) error {
	// A page is named by its first event and may hold seq's successors although its
	// name comes before seq: so the walk starts one page early.
	var early string
	return l.walk(ctx, after, func(key string, first uint64) (bool, error) {
		if first <= after {
			early = key
			return true, nil
		}
		for _, k := range []string{early, key} {
			if k == "" {
				continue
			}
			if more, err := l.readPage(ctx, k, after, f); err != nil || !more {
				return false, err
			}
		}
		early = ""
		return true, nil
	}, func() error {
		if early == "" {
			return nil
		}
		_, err := l.readPage(ctx, early, after, f)
		return err
	})
}

// each calls f with each event after seq, oldest first.
func (l *Log) each(ctx context.Context, after uint64, f func(seq uint64, e storedEvent)) error {
	var failed error
	err := l.read(ctx, after, func(t told) bool {
		var e storedEvent
		if e, failed = parseEvent(t.json); failed == nil {
			f(t.seq, e)
		}
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	return err
}

func (l *Log) readPage(ctx context.Context, key string, after uint64, f func(told) bool) (more bool, err error) {
	var p page
	found, err := store.Get(ctx, l.storage, key, &p)
	if err != nil || !found || p.Last <= after {
		return err == nil, err
	}
	for _, e := range p.Events {
		var head struct {
			Cursor string `json:"cursor"`
		}
		if err := json.Unmarshal(e, &head); err != nil {
			return false, err
		}
		seq, err := parseCursor(head.Cursor)
		if err != nil {
			return false, err
		}
		if seq > after && !f(told{seq, e}) {
			return false, nil
		}
	}
	return true, nil
}

// walk calls visit with the key of every page from the folder before seq's on, in
// order, and last when visit has not ended it.
func (l *Log) walk(ctx context.Context, seq uint64, visit func(key string, first uint64) (more bool, err error), last func() error) error {
	shards, err := l.shardsFrom(ctx, seq)
	if err != nil {
		return err
	}
	for _, shard := range shards {
		names, err := l.minutes(ctx, shard, seq)
		if err != nil {
			return err
		}
		for _, minute := range names {
			pages, err := l.list(ctx, store.Events+shard+minute)
			if err != nil {
				return err
			}
			for _, name := range pages {
				first, err := parseCursor(name)
				if err != nil {
					return err
				}
				if more, err := visit(store.Events+shard+minute+name, first); err != nil || !more {
					return err
				}
			}
		}
	}
	return last()
}

// shardsFrom lists the hours from the one before seq's on.
func (l *Log) shardsFrom(ctx context.Context, seq uint64) ([]string, error) {
	hours, err := l.list(ctx, store.Events)
	if err != nil {
		return nil, err
	}
	hour, _ := pageShard(seq)
	i, _ := slices.BinarySearch(hours, hour)
	return hours[max(0, i-1):], nil
}

// minutes lists the minutes of an hour; of an hour before seq's only the last one,
// and of seq's own hour those from the one before seq's on.
func (l *Log) minutes(ctx context.Context, shard string, seq uint64) ([]string, error) {
	minutes, err := l.list(ctx, store.Events+shard)
	if err != nil {
		return nil, err
	}
	hour, minute := pageShard(seq)
	switch {
	case shard < hour && len(minutes) > 0:
		return minutes[len(minutes)-1:], nil
	case shard == hour:
		i, _ := slices.BinarySearch(minutes, minute)
		return minutes[max(0, i-1):], nil
	}
	return minutes, nil
}

func (l *Log) list(ctx context.Context, prefix string) ([]string, error) {
	names, err := store.List(ctx, l.storage, prefix)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// tail finds the last page on storage; found is false in an empty log.
func (l *Log) tail(ctx context.Context) (p page, found bool, err error) {
	prefix := store.Events
	for range 3 {
		names, err := l.list(ctx, prefix)
		if err != nil || len(names) == 0 {
			return page{}, false, err
		}
		prefix += names[len(names)-1]
	}
	found, err = store.Get(ctx, l.storage, prefix, &p)
	return p, found, err
}
