// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// hashedFor is how long a token may be live whose id comes from its hash: the
// platforms that name no tokens end them within an hour; the rest is for a seal
// that lasted.
const hashedFor = 26 * time.Hour

// Find returns the record of that id, live or closed, or fault.NotFound.
func (l *Ledger) Find(ctx context.Context, id string) (*Record, error) {
	if !ValidID(id) {
		return nil, fault.New(fault.NotFound, "there is no token %q", id)
	}
	live, err := l.Live(ctx, id)
	if err != nil {
		return nil, err
	}
	if live != nil {
		return &live.Record, nil
	}
	_, suffix := split(id)
	record, _, err := l.findClosed(ctx, suffix, issuedDay(id), func(r *Record) bool { return r.TokenID == id })
	if err != nil {
		return nil, err
	}
	if record == nil {
		return nil, fault.New(fault.NotFound, "there is no token %q, or its record is past its retention", id)
	}
	return record, nil
}

// FindToken returns the record of a token by its hash, live or closed, or nil
// where it is not ours. It reads a number of keys that goes with the hours that
// live tokens span and the days of retention, never with the number of tokens.
func (l *Ledger) FindToken(ctx context.Context, token string) (*Record, error) {
	suffix, hash := hashSuffix(token), Hash(token)
	ours := func(r *Record) bool { return r.TokenSHA256 == hash }
	var id string
	indexed, err := store.Get(ctx, l.storage, store.Hashes+suffix, &id)
	if err != nil {
		return nil, err
	}
	if indexed {
		record, err := l.Find(ctx, id)
		if fault.Is(err, fault.NotFound) {
			return nil, nil
		}
		return record, err
	}
	hours, err := store.List(ctx, l.storage, store.Live)
	if err != nil {
		return nil, err
	}
	oldest := l.now().Add(-hashedFor).UTC().Format(hourLayout)
	for _, hour := range hours {
		if hour = strings.TrimSuffix(hour, "/"); hour < oldest {
			continue
		}
		live, err := l.Live(ctx, hour+"-"+suffix)
		if err != nil {
			return nil, err
		}
		if live != nil && ours(&live.Record) {
			return &live.Record, nil
		}
	}
	record, _, err := l.findClosed(ctx, suffix, "", ours)
	return record, err
}

// findClosed looks for a closed record in each day's folder from the given day on.
func (l *Ledger) findClosed(ctx context.Context, suffix, from string, match func(*Record) bool) (*Record, string, error) {
	days, err := store.List(ctx, l.storage, store.Closed)
	if err != nil {
		return nil, "", err
	}
	slices.Sort(days)
	for _, day := range days {
		if day = strings.TrimSuffix(day, "/"); day < from {
			continue
		}
		var record Record
		key := closedKey(day, suffix)
		found, err := store.Get(ctx, l.storage, key, &record)
		if err != nil {
			return nil, "", err
		}
		if found && match(&record) {
			l.uses.show(&record)
			return &record, key, nil
		}
	}
	return nil, "", nil
}

// ChangeClosed changes a closed record; one that is gone by now is left alone.
func (l *Ledger) ChangeClosed(ctx context.Context, id string, f func(*Record)) error {
	row := l.row(id)
	row.Lock()
	defer row.Unlock()
	_, suffix := split(id)
	record, key, err := l.findClosed(ctx, suffix, issuedDay(id), func(r *Record) bool { return r.TokenID == id })
	if err != nil {
		return err
	}
	if record != nil {
		f(record)
		if err := store.Put(ctx, l.storage, key, record); err != nil {
			return err
		}
	}
	l.uses.stored(id)
	return nil
}

// EachLive calls f with every live record until it says no.
func (l *Ledger) EachLive(ctx context.Context, f func(*Live) (more bool)) error {
	return l.eachLiveFrom(ctx, "", f)
}

// eachLiveFrom does it for the records of tokens issued in the given hour or later.
func (l *Ledger) eachLiveFrom(ctx context.Context, from string, f func(*Live) (more bool)) error {
	hours, err := store.List(ctx, l.storage, store.Live)
	if err != nil {
		return err
	}
	slices.Sort(hours)
	for _, hour := range hours {
		if hour < from {
			continue
		}
		shards, err := store.List(ctx, l.storage, store.Live+hour)
		if err != nil {
			return err
		}
		for _, shard := range shards {
			if more, err := l.eachIn(ctx, hour+shard, f); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// eachIn calls f with every live record of one shard.
func (l *Ledger) eachIn(ctx context.Context, shard string, f func(*Live) bool) (more bool, err error) {
	names, err := store.List(ctx, l.storage, store.Live+shard)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		live, err := l.readLive(ctx, store.Live+shard+name)
		if err != nil {
			return false, err
		}
		if live != nil && !f(live) {
			return false, nil
		}
	}
	return true, nil
}

// Overdue calls f with every live record whose lease ended more than grace ago. It
// reads only the shards that hold such records.
func (l *Ledger) Overdue(ctx context.Context, grace time.Duration, f func(*Live) (more bool)) error {
	before := l.now().Add(-grace)
	for _, shard := range l.census.overdue(before) {
		more, err := l.eachIn(ctx, shard, func(live *Live) bool {
			return !live.LeaseUntil.Before(before) || f(live)
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}
