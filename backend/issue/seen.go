// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package issue

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// seen remembers the job tokens that have had their one credential, for as long as
// the verifier would accept them again.
type seen struct {
	storage logical.Storage

	mu       sync.Mutex
	underway map[string]bool
}

func newSeen(storage logical.Storage) *seen {
	return &seen{storage: storage, underway: map[string]bool{}}
}

const seenLayout = "2006010215"

// seenKey lies in the hour after which the token is not accepted any more.
func seenKey(id *identity.Identity) string {
	return store.Seen + id.ExpiresAt.Add(identity.Leeway).UTC().Format(seenLayout) + "/" + id.ID
}

// check is fault.Denied for a job token that has had its credential.
func (s *seen) check(ctx context.Context, id *identity.Identity) error {
	var used bool
	found, err := store.Get(ctx, s.storage, seenKey(id), &used)
	if err != nil {
		return err
	}
	if found {
		return fault.New(fault.Denied, "single_use: this id_token has had its credential; ask the CI system for a new one")
	}
	return nil
}

// claim keeps others from using the same job token while a credential is made.
func (s *seen) claim(ctx context.Context, id *identity.Identity) (release func(), err error) {
	s.mu.Lock()
	taken := s.underway[id.ID]
	s.underway[id.ID] = true
	s.mu.Unlock()
	if taken {
		return nil, fault.New(fault.Denied, "single_use: this id_token is being used this moment")
	}
	release = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.underway, id.ID)
	}
	// Whoever held it before may just have burnt it.
	if err := s.check(ctx, id); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (s *seen) burn(ctx context.Context, id *identity.Identity) error {
	return store.Put(ctx, s.storage, seenKey(id), true)
}

// restore takes a burn back whose credential did not come about.
func (s *seen) restore(ctx context.Context, id *identity.Identity) error {
	return store.Delete(ctx, s.storage, seenKey(id))
}

// TidySeen forgets the job tokens that no verifier accepts any more.
func (s *Service) TidySeen(ctx context.Context) error {
	hours, err := store.List(ctx, s.storage, store.Seen)
	if err != nil {
		return err
	}
	past := s.now().Add(-time.Hour).UTC().Format(seenLayout)
	for _, hour := range hours {
		if strings.TrimSuffix(hour, "/") > past {
			continue
		}
		ids, err := store.List(ctx, s.storage, store.Seen+hour)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := store.Delete(ctx, s.storage, store.Seen+hour+id); err != nil {
				return err
			}
		}
	}
	return nil
}
