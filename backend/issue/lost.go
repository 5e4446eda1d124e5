// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package issue

import (
	"context"
	"encoding/hex"
	"sync"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/connect"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// lost keeps which roles may have a token at the platform that the ledger does not
// know: its answer did not arrive, or a predecessor died before writing it down.
// Platforms where tokens have names are then asked for them.
type lost struct {
	mu      sync.Mutex
	making  map[string]bool // token ids that are being made this moment
	suspect map[string]bool // roles
	// touched are the markers that are known to be on storage.
	touched map[string]bool
}

func newLost() *lost {
	return &lost{making: map[string]bool{}, suspect: map[string]bool{}, touched: map[string]bool{}}
}

// expect prepares for the answer to a mint not coming: where the platform can find
// a token by name, it must be known where to look. settled is told what came.
func (s *Service) expect(ctx context.Context, p *plan, grant providers.Grant) (settled func(error), err error) {
	if grant.TokenID == "" {
		return func(error) {}, nil
	}
	role := p.bound.Role.Name
	if grant.Narrowed {
		if err := s.touch(ctx, role, grant); err != nil {
			return nil, err
		}
	}
	s.lost.mu.Lock()
	s.lost.making[grant.TokenID] = true
	s.lost.mu.Unlock()
	return func(err error) {
		s.lost.mu.Lock()
		defer s.lost.mu.Unlock()
		if err != nil {
			delete(s.lost.making, grant.TokenID)
			switch fault.KindOf(err) {
			case fault.Unavailable, fault.Nonsense, fault.Internal:
				s.lost.suspect[role] = true
			}
		}
	}, nil
}

// written ends what expect began: the token is on record, or revoked.
func (l *lost) written(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.making, id)
}

// touch notes, once, a repository that is not written out in the role.
func (s *Service) touch(ctx context.Context, role string, grant providers.Grant) error {
	for _, name := range grant.Repositories {
		full := grant.Account + "/" + name
		key := store.Touched + role + "/" + hex.EncodeToString([]byte(full))
		s.lost.mu.Lock()
		known := s.lost.touched[key]
		s.lost.mu.Unlock()
		if known {
			continue
		}
		if err := store.Put(ctx, s.storage, key, full); err != nil {
			return err
		}
		s.lost.mu.Lock()
		s.lost.touched[key] = true
		s.lost.mu.Unlock()
	}
	return nil
}

// SuspectAll has every role looked at: after a start nobody knows what a predecessor
// did last, or what an older snapshot has forgotten.
func (s *Service) SuspectAll(ctx context.Context, roles func(context.Context) ([]string, error)) error {
	names, err := roles(ctx)
	if err != nil {
		return err
	}
	s.lost.mu.Lock()
	defer s.lost.mu.Unlock()
	for _, name := range names {
		s.lost.suspect[name] = true
	}
	return nil
}

// RevokeLost asks the platforms for tokens of suspect roles that nobody has on
// record and revokes them. A role whose platform does not answer stays suspect.
func (s *Service) RevokeLost(ctx context.Context) {
	s.lost.mu.Lock()
	suspects := make([]string, 0, len(s.lost.suspect))
	for role := range s.lost.suspect {
		suspects = append(suspects, role)
	}
	s.lost.mu.Unlock()
	for _, role := range suspects {
		s.lost.mu.Lock()
		delete(s.lost.suspect, role) // a mint that fails from here on is looked for anew
		s.lost.mu.Unlock()
		if err := s.revokeLost(ctx, role); err != nil {
			s.logger.Warn("tokens that may have been lost could not be looked for", "role", role, "error", err)
			s.lost.mu.Lock()
			s.lost.suspect[role] = true
			s.lost.mu.Unlock()
		}
	}
}

func (s *Service) revokeLost(ctx context.Context, role string) error {
	bound, err := s.roles.Load(ctx, role)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
		return nil
	}
	if err != nil {
		return err
	}
	finder, finds := bound.Link.Connection.(providers.Finder)
	if !finds {
		return nil
	}
	grants, err := s.places(ctx, bound.Role, bound.Config.Account)
	if err != nil {
		return err
	}
	for _, grant := range grants {
		var found map[string]string
		err := bound.Link.Gate.Do(ctx, connect.Other, func(ctx context.Context) (err error) {
			found, err = finder.Find(ctx, grant)
			return err
		})
		if fault.Is(err, fault.Refused) || fault.Is(err, fault.Invalid) {
			continue // the place is gone, and what was there with it
		}
		if err != nil {
			return err
		}
		for id, handle := range found {
			if err := s.revokeUnknown(ctx, bound.Link, role, id, handle); err != nil {
				return err
			}
		}
	}
	return nil
}

// places are where tokens of a role can be: the repositories that it names and
// those that it reached by pattern or claim.
func (s *Service) places(ctx context.Context, role *policy.Role, account string) ([]providers.Grant, error) {
	entries, err := policy.ParseRepositories(role.Repositories, account)
	if err != nil {
		return nil, err
	}
	var grants []providers.Grant
	add := func(account, name string) {
		grants = append(grants, providers.Grant{Subject: s.roles.Subject(role.Name), Account: account, Repositories: []string{name}})
	}
	for _, e := range entries {
		if e.Template == nil && !e.IsPattern() {
			add(e.Account, e.Name)
		}
	}
	keys, err := store.List(ctx, s.storage, store.Touched+role.Name+"/")
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		full, err := hex.DecodeString(key)
		if err != nil {
			return nil, err
		}
		touched, err := policy.ParseRepositories([]string{string(full)}, "")
		if err != nil {
			return nil, err
		}
		add(touched[0].Account, touched[0].Name)
	}
	return grants, nil
}

// revokeUnknown revokes a token that the platform has and the ledger has not.
func (s *Service) revokeUnknown(ctx context.Context, link *connect.Link, role, id, handle string) error {
	s.lost.mu.Lock()
	making := s.lost.making[id]
	s.lost.mu.Unlock()
	if making || !ledger.ValidID(id) {
		return nil
	}
	live, err := s.ledger.Live(ctx, id)
	if err != nil || live != nil {
		return err
	}
	err = link.Gate.Do(ctx, connect.Revoke, func(ctx context.Context) error {
		return link.Connection.Revoke(ctx, providers.Handle{Value: handle, MintedAt: s.now()})
	})
	if err != nil {
		return err
	}
	s.logger.Warn("revoked a token whose issue never came to an answer", "role", role, "token_id", id)
	return s.ledger.Tell(ctx, ledger.Event{Type: ledger.EventOrphanRevoked, Time: s.now(), More: map[string]any{
		"token_id": id, "role": role, "config": link.Name,
	}})
}
