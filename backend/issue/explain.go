// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package issue

import (
	"context"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Explanation is what would come of a request.
type Explanation struct {
	Gates        []policy.Gate
	Role         *policy.Role
	Provider     string
	BaseURL      string
	Organization string
	Repositories []string
	Permissions  []string
	Lease        policy.Lease
	Required     int
}

// Allowed reports whether every gate is open.
func (e *Explanation) Allowed() bool { return policy.FirstShut(e.Gates) == nil }

// Explain asks every gate for this caller and makes nothing.
func (s *Service) Explain(ctx context.Context, req Request) (*Explanation, error) {
	p, err := s.plan(ctx, req)
	if err != nil {
		return nil, err
	}
	link := p.bound.Link
	p.add("platform", s.takes(p))
	return &Explanation{
		Gates: p.gates, Role: p.bound.Role, Provider: link.Platform.Name, BaseURL: link.Connection.BaseURL(),
		Organization: p.reach.Account, Repositories: p.reach.Written,
		Permissions: providers.FormatPermissions(p.permissions), Lease: p.lease, Required: p.required,
	}, nil
}

// takes tells whether the platform would be asked for this, as far as that is known
// without asking it.
func (s *Service) takes(p *plan) error {
	link := p.bound.Link
	if wait := link.Gate.Limited(); wait > 0 {
		return fault.LimitedFor(wait, "platform: %s limits config %q for another %s", link.Platform.Title, link.Name, wait)
	}
	if p.firstShut() != nil {
		return nil // what is asked for is not known in full
	}
	grant, err := s.grant(p, link)
	if err != nil {
		return err
	}
	return link.Connection.Check(grant)
}
