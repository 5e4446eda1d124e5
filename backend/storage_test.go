// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/vault/sdk/logical"
)

var errStorage = errors.New("storage is broken")

// storage is storage in memory, of which any single operation can be made to fail.
// As Vault's does, it refuses a write over a context that is cancelled.
type storage struct {
	logical.InmemStorage

	mu sync.Mutex
	// failing is how many operations from now the failing one is; 0 is none.
	failing int
	failed  string
	count   int
	// before and after see each operation. What they return is its answer: without it
	// having happened, or although it has.
	before, after func(op, key string) error
}

func newStorage() *storage { return &storage{} }

// failAt makes the nth operation from now fail, once.
func (s *storage) failAt(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing, s.failed, s.count = n, "", 0
}

// heal makes all operations succeed again, and tells which one failed, if any.
func (s *storage) heal() (failed string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = 0
	return s.failed
}

// watch has operations seen from now on, before they happen and after; nil is nobody.
func (s *storage) watch(before, after func(op, key string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after = before, after
}

// failNth makes the nth of the operations of a kind below a prefix fail, for each n.
func (s *storage) failNth(op, prefix string, nth ...int) {
	var n atomic.Int32
	s.watch(func(o, key string) error {
		if o == op && strings.HasPrefix(key, prefix) && slices.Contains(nth, int(n.Add(1))) {
			return errStorage
		}
		return nil
	}, nil)
}

// loseAnswer makes the nth write from now look as if it had failed, once. heal ends
// that and tells which one it was, if any.
func (s *storage) loseAnswer(n int) (heal func() string) {
	var mu sync.Mutex
	var lost string
	writes := 0
	s.watch(nil, func(op, key string) error {
		mu.Lock()
		defer mu.Unlock()
		if writes++; writes != n {
			return nil
		}
		lost = op + " " + key
		return errStorage
	})
	return func() string {
		s.watch(nil, nil)
		mu.Lock()
		defer mu.Unlock()
		return lost
	}
}

// answer is what the caller of an operation that has happened is told.
func (s *storage) answer(op, key string, err error) error {
	s.mu.Lock()
	after := s.after
	s.mu.Unlock()
	if err != nil || after == nil {
		return err
	}
	return after(op, key)
}

func (s *storage) check(ctx context.Context, op, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	before := s.before
	s.mu.Unlock()
	if before != nil {
		if err := before(op, key); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count++; s.failing > 0 && s.count == s.failing {
		s.failed = op + " " + key
		return errStorage
	}
	return nil
}

func (s *storage) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	if err := s.check(ctx, "get", key); err != nil {
		return nil, err
	}
	return s.InmemStorage.Get(ctx, key)
}

func (s *storage) Put(ctx context.Context, entry *logical.StorageEntry) error {
	if err := s.check(ctx, "put", entry.Key); err != nil {
		return err
	}
	return s.answer("put", entry.Key, s.InmemStorage.Put(ctx, entry))
}

func (s *storage) Delete(ctx context.Context, key string) error {
	if err := s.check(ctx, "delete", key); err != nil {
		return err
	}
	return s.answer("delete", key, s.InmemStorage.Delete(ctx, key))
}

func (s *storage) List(ctx context.Context, prefix string) ([]string, error) {
	if err := s.check(ctx, "list", prefix); err != nil {
		return nil, err
	}
	return s.InmemStorage.List(ctx, prefix)
}

// keys lists every key below a prefix.
func (s *storage) keys(prefix string) []string {
	names, err := s.InmemStorage.List(context.Background(), prefix)
	if err != nil {
		return nil
	}
	var keys []string
	for _, name := range names {
		if strings.HasSuffix(name, "/") {
			keys = append(keys, s.keys(prefix+name)...)
			continue
		}
		keys = append(keys, prefix+name)
	}
	return keys
}

// lockedBuffer collects a log.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
