// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package catalog keeps what operators define: each kind in a table that is read
// from memory once it has been read from storage.
package catalog

import (
	"context"
	"sync"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Table holds the definitions of one kind by name. Values are immutable once they
// are in it: a change is a new value, so a pointer tells one version from another.
type Table[T any] struct {
	kind    string
	prefix  string
	storage logical.Storage

	// writing orders writers. It is held over our own storage, never over a
	// platform, and no reader waits for it.
	writing sync.Mutex

	mu    sync.RWMutex
	known map[string]*T
	// absent are names that are known not to be on storage.
	absent map[string]bool
	// changes counts what made memory differ from storage, so that a slow reader
	// does not put back what a writer has replaced meanwhile.
	changes uint64
}

// mostAbsent bounds the absent names: anybody can ask for any.
const mostAbsent = 100

// NewTable makes a table of the named kind (as messages call it) under a prefix.
func NewTable[T any](kind, prefix string, storage logical.Storage) *Table[T] {
	return &Table[T]{kind: kind, prefix: prefix, storage: storage, known: map[string]*T{}, absent: map[string]bool{}}
}

// Get returns the value of that name, or nil where there is none.
func (t *Table[T]) Get(ctx context.Context, name string) (*T, error) {
	t.mu.RLock()
	value, absent, changes := t.known[name], t.absent[name], t.changes
	t.mu.RUnlock()
	if value != nil || absent {
		return value, nil
	}
	value = new(T)
	found, err := store.Get(ctx, t.storage, t.prefix+name, value)
	if err != nil {
		return nil, err
	}
	if !found {
		value = nil
	}
	return t.remember(name, value, changes), nil
}

// remember keeps what storage held when there were that many changes, and returns
// what holds now.
func (t *Table[T]) remember(name string, value *T, changes uint64) *T {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch current := t.known[name]; {
	case current != nil:
		return current
	case t.changes != changes:
	case value != nil:
		t.known[name] = value
	case len(t.absent) < mostAbsent:
		t.absent[name] = true
	}
	return value
}

// Replace writes value in the place of old, which is nil for a new name. Where
// somebody else was faster it is a fault.Conflict and nothing is written.
func (t *Table[T]) Replace(ctx context.Context, name string, old, value *T) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	current, err := t.Get(ctx, name)
	if err != nil {
		return err
	}
	if current != old {
		return fault.New(fault.Conflict, "%s %q was changed by somebody else at the same time; look at it and write again", t.kind, name)
	}
	if err := store.Put(ctx, t.storage, t.prefix+name, value); err != nil {
		return err
	}
	t.set(name, value)
	return nil
}

// Delete removes a name; removing what is not there is no error.
func (t *Table[T]) Delete(ctx context.Context, name string) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if err := store.Delete(ctx, t.storage, t.prefix+name); err != nil {
		return err
	}
	t.set(name, nil)
	return nil
}

// List lists the names that are on storage.
func (t *Table[T]) List(ctx context.Context) ([]string, error) {
	return store.List(ctx, t.storage, t.prefix)
}

// Each calls f with every value by name, until f says no.
func (t *Table[T]) Each(ctx context.Context, f func(name string, value *T) (more bool)) error {
	names, err := t.List(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		value, err := t.Get(ctx, name)
		if err != nil {
			return err
		}
		if value != nil && !f(name, value) {
			return nil
		}
	}
	return nil
}

// Forget drops what memory knows of a storage key, if the key is this table's.
func (t *Table[T]) Forget(key string) {
	if len(key) > len(t.prefix) && key[:len(t.prefix)] == t.prefix {
		t.set(key[len(t.prefix):], nil)
	}
}

func (t *Table[T]) set(name string, value *T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes++
	delete(t.absent, name)
	if value == nil {
		delete(t.known, name)
		return
	}
	t.known[name] = value
}
