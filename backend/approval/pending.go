// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package approval

import (
	"context"
	"slices"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// mostPending is how many requests of one caller for one role may wait for a
// decision: what is asked for stays on storage for weeks.
const mostPending = 20

// asker is whose requests are counted together. Jobs of many repositories often
// share an account, and none shall keep the others from asking.
type asker struct{ role, entityID, displayName, repository string }

// open is a request that waits for a decision.
type open struct {
	basis string
	ends  time.Time
}

func (a *Approval) asker() asker {
	of := asker{role: a.Role, entityID: a.EntityID}
	if a.EntityID == "" {
		of.displayName = a.DisplayName
	}
	if a.Run != nil {
		of.repository = a.Run.Repository
	}
	return of
}

// undecided reports whether nobody has denied it and more people are to approve.
func (a *Approval) undecided() bool { return a.CompleteAt.IsZero() && !a.denied() }

// admit counts a request that is to be stored, or is fault.Conflict where the caller
// has too many. Those that a change has made void since do not count.
func (s *Service) admit(ctx context.Context, a *Approval, mount string) error {
	if err := s.recall(ctx, a.Role); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting, oldest := 0, a.ExpiresAt()
	for _, other := range s.pending[a.asker()] {
		if other.basis != a.Basis || !s.now().Before(other.ends) {
			continue
		}
		waiting++
		if other.ends.Before(oldest) {
			oldest = other.ends
		}
	}
	if waiting >= mostPending {
		return fault.New(fault.Conflict, "approval: %d requests of yours for role %q are still to be decided; have one denied (vault write %sapprovals/%s/<id>/deny), or wait until %s, when the oldest ends",
			waiting, a.Role, mount, a.Role, oldest.UTC().Format(time.RFC3339))
	}
	s.count(a)
	return nil
}

// count remembers a request that waits; whoever calls it holds mu.
func (s *Service) count(a *Approval) {
	of := a.asker()
	if s.pending[of] == nil {
		s.pending[of] = map[string]open{}
	}
	s.pending[of][a.ID] = open{a.Basis, a.ExpiresAt()}
}

// settle forgets a request that waits no more.
func (s *Service) settle(a *Approval) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending[a.asker()], a.ID)
}

// forgetEnded drops what waits no more because its time is over.
func (s *Service) forgetEnded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for of, requests := range s.pending {
		for id, request := range requests {
			if !s.now().Before(request.ends) {
				delete(requests, id)
			}
		}
		if len(requests) == 0 {
			delete(s.pending, of)
		}
	}
}

// recall counts what was asked for before this process began, once a role.
func (s *Service) recall(ctx context.Context, role string) error {
	s.deciding.Lock()
	defer s.deciding.Unlock()
	if s.recalled[role] {
		return nil
	}
	now := s.now()
	for _, day := range slices.Compact([]string{dayOf(now.Add(-DecideWithin)), dayOf(now)}) {
		ids, err := store.List(ctx, s.storage, store.ApprovalDays+day+"/"+role+"/")
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := s.recallOne(ctx, role, id); err != nil {
				return err
			}
		}
	}
	s.recalled[role] = true
	return nil
}

func (s *Service) recallOne(ctx context.Context, role, id string) error {
	a, err := s.stored(ctx, role, id)
	if err != nil || a == nil {
		return err
	}
	if a.undecided() && s.now().Before(a.ExpiresAt()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.count(a)
	}
	return nil
}
