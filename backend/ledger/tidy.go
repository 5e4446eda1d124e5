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

// Settings are how long the ledger remembers.
type Settings struct {
	// ClosedRetention is how long a dead token's record is kept after its end.
	ClosedRetention time.Duration `json:"closed_retention"`
	// EventRetention is how long events are kept.
	EventRetention time.Duration `json:"event_retention"`
}

// DefaultSettings hold where none are written.
func DefaultSettings() Settings {
	return Settings{ClosedRetention: 30 * 24 * time.Hour, EventRetention: 90 * 24 * time.Hour}
}

// leastRetention keeps a record until everybody who polls has seen its end.
const leastRetention = 24 * time.Hour

// Check judges settings as they are written.
func (s Settings) Check() error {
	if s.ClosedRetention < leastRetention {
		return fault.InvalidField("closed_retention", "must be at least %s", leastRetention)
	}
	if s.EventRetention < leastRetention {
		return fault.InvalidField("event_retention", "must be at least %s", leastRetention)
	}
	return nil
}

// Settings returns the settings that hold.
func (l *Ledger) Settings(ctx context.Context) (Settings, error) {
	s := DefaultSettings()
	_, err := store.Get(ctx, l.storage, store.Settings, &s)
	return s, err
}

// ChangeSettings has f change the settings, one caller after the other.
func (l *Ledger) ChangeSettings(ctx context.Context, f func(*Settings) error) error {
	l.settings.Lock()
	defer l.settings.Unlock()
	s, err := l.Settings(ctx)
	if err != nil {
		return err
	}
	if err := f(&s); err != nil {
		return err
	}
	if err := s.Check(); err != nil {
		return err
	}
	return store.Put(ctx, l.storage, store.Settings, s)
}

// Tidy removes records and events past their retention, at most the given number,
// and reports how many that were. It opens only the folders that are due.
func (l *Ledger) Tidy(ctx context.Context, most int) (removed int, err error) {
	settings, err := l.Settings(ctx)
	if err != nil {
		return 0, err
	}
	now := l.now().UTC()
	closedBefore := now.Add(-settings.ClosedRetention).Format(dayLayout)
	if removed, err = l.tidyFolders(ctx, store.Closed, closedBefore, most, l.removeClosed); err != nil {
		return removed, err
	}
	eventsBefore := now.Add(-settings.EventRetention).Format(hourLayout)
	n, err := l.tidyFolders(ctx, store.Events, eventsBefore, most-removed, l.removePage)
	return removed + n, err
}

// tidyFolders removes what lies two folders below prefix in folders named before
// the given one.
func (l *Ledger) tidyFolders(ctx context.Context, prefix, before string, most int, remove func(context.Context, string) error) (removed int, err error) {
	folders, err := store.List(ctx, l.storage, prefix)
	if err != nil || len(folders) == 0 {
		return 0, err
	}
	slices.Sort(folders)
	if prefix == store.Events {
		folders = folders[:len(folders)-1] // the log goes on from its end
	}
	for _, folder := range folders {
		if strings.TrimSuffix(folder, "/") >= before {
			return removed, nil
		}
		shards, err := store.List(ctx, l.storage, prefix+folder)
		if err != nil {
			return removed, err
		}
		for _, shard := range shards {
			names, err := store.List(ctx, l.storage, prefix+folder+shard)
			if err != nil {
				return removed, err
			}
			for _, name := range names {
				if removed >= most {
					return removed, nil
				}
				if err := remove(ctx, prefix+folder+shard+name); err != nil {
					return removed, err
				}
				removed++
			}
		}
	}
	return removed, nil
}

// removeClosed removes a closed record and what led from its token to it.
func (l *Ledger) removeClosed(ctx context.Context, key string) error {
	var r Record
	found, err := store.Get(ctx, l.storage, key, &r)
	if err != nil {
		return err
	}
	if found {
		if err := store.Delete(ctx, l.storage, store.Hashes+indexOf(&r)); err != nil {
			return err
		}
	}
	return store.Delete(ctx, l.storage, key)
}

func (l *Ledger) removePage(ctx context.Context, key string) error {
	return store.Delete(ctx, l.storage, key)
}
