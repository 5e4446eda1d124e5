// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package approval

import (
	"context"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Independent reports whether nobody who approved has started the job that uses the
// approval, and why it does not serve where somebody has: the job that asked may be
// another one of the same run, started by somebody else.
func (s *Service) Independent(a *Approval, job identity.Job) (ok bool, why string, err error) {
	if job.Actor == "" {
		return false, unnamed, nil
	}
	for _, d := range a.Decisions {
		if !d.Approve {
			continue
		}
		is, err := s.is(d.EntityID, job.Actor)
		if err != nil {
			return false, "", err
		}
		if is {
			return false, d.DisplayName + " has approved it and (as " + job.Actor + ") started the job that uses it", nil
		}
	}
	return true, "", nil
}

// Claim takes an approval for one credential that is being made: nobody else can
// meanwhile, and nobody has used or denied it since a was read.
func (s *Service) Claim(ctx context.Context, a *Approval) (release func(), err error) {
	s.mu.Lock()
	taken := s.inUse[a.ID]
	s.inUse[a.ID] = true
	s.mu.Unlock()
	if taken {
		return nil, fault.New(fault.Denied, "approval: %q is being used this moment", a.ID)
	}
	release = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.inUse, a.ID)
	}
	now, err := s.Get(ctx, a.Role, a.ID)
	if err == nil {
		err = now.spent()
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// Burn marks an approval as used by a token. One that was denied while the token
// was being made is fault.Denied: from here on a denial comes too late and is told so.
func (s *Service) Burn(ctx context.Context, a *Approval, tokenID string) error {
	return s.change(ctx, a, func(now *Approval) error {
		if err := now.spent(); err != nil {
			return err
		}
		now.UsedAt, now.UsedBy = s.now().UTC(), tokenID
		return nil
	})
}

// Restore takes a Burn back whose token did not come about.
func (s *Service) Restore(ctx context.Context, a *Approval) error {
	return s.change(ctx, a, func(now *Approval) error {
		now.UsedAt, now.UsedBy = time.Time{}, ""
		return nil
	})
}

func (s *Service) change(ctx context.Context, a *Approval, f func(*Approval) error) error {
	s.deciding.Lock()
	defer s.deciding.Unlock()
	now, err := s.Get(ctx, a.Role, a.ID)
	if err != nil {
		return err
	}
	if err := f(now); err != nil {
		return err
	}
	return s.put(ctx, now)
}
