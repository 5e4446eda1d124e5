// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package issue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/approval"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/roles"
)

// basis is a fingerprint of all that an approval rests on: the role, its stage, its
// environment, its config and its issuer. Each has a revision that no later write
// brings back, so a change that is taken back voids too, and so does a write that
// changes nothing: whoever approved cannot know that it did not.
func (s *Service) basis(ctx context.Context, b *roles.Bound) (string, error) {
	var issuer *identity.Issuer
	if b.Role.Issuer != "" {
		var err error
		if issuer, err = s.issuers.Get(ctx, b.Role.Issuer); err != nil {
			return "", err
		}
	}
	encoded, err := json.Marshal([]any{b.Role, b.Stage, b.Environment, b.Link.Config.Revision, issuer})
	if err != nil {
		return "", fmt.Errorf("issue: basis of an approval: %w", err)
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:]), nil
}

// View is an approval and where it stands.
type View struct {
	*approval.Approval
	Status approval.Status
}

// Ask puts up a request for a role's credential. Whoever could not have it for
// other reasons than the approval is told so now.
func (s *Service) Ask(ctx context.Context, role, reason, idToken string, caller policy.Caller) (View, error) {
	bound, err := s.roles.Load(ctx, role)
	if err != nil {
		return View{}, err
	}
	if err := policy.FirstShut(policy.StandingGates(bound.Role, bound.Surroundings, s.now())); err != nil {
		return View{}, err
	}
	if err := policy.CallerAddress(bound.Role, caller.Address); err != nil {
		return View{}, err
	}
	p := &plan{bound: bound}
	if err := s.identify(ctx, p, idToken); err != nil {
		return View{}, err
	}
	basis, err := s.basis(ctx, bound)
	if err != nil {
		return View{}, err
	}
	a, err := s.approvals.Ask(ctx, approval.Request{
		Role: role, Reason: reason, Caller: caller, Identity: p.identity, Basis: basis,
		Required: policy.RequiredApprovals(bound.Role, bound.Surroundings),
	})
	if err != nil {
		return View{}, err
	}
	return View{a, a.StatusAt(s.now(), basis)}, nil
}

// Approval shows one approval.
func (s *Service) Approval(ctx context.Context, role, id string) (View, error) {
	a, err := s.approvals.Get(ctx, role, id)
	if err != nil {
		return View{}, err
	}
	basis, err := s.currentBasis(ctx, role)
	if err != nil {
		return View{}, err
	}
	return View{a, a.StatusAt(s.now(), basis)}, nil
}

// Decide records one person's decision on an approval.
func (s *Service) Decide(ctx context.Context, role, id string, d approval.Decision) (View, error) {
	basis, err := s.currentBasis(ctx, role)
	if err != nil {
		return View{}, err
	}
	a, err := s.approvals.Decide(ctx, role, id, basis, d)
	if err != nil {
		return View{}, err
	}
	return View{a, a.StatusAt(s.now(), basis)}, nil
}

// currentBasis is empty, which no approval rests on, where the role cannot be
// brought together any more.
func (s *Service) currentBasis(ctx context.Context, role string) (string, error) {
	bound, err := s.roles.Load(ctx, role)
	if err != nil {
		return "", nil // a role that is gone voids its approvals
	}
	return s.basis(ctx, bound)
}
