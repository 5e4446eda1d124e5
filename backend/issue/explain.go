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
	if wait := link.Gate.Limited(); wait > 0 {
		p.add("platform", fault.LimitedFor(wait, "platform: %s limits config %q for another %s", link.Platform.Title, link.Name, wait))
	} else {
		p.add("platform", nil)
	}
	return &Explanation{
		Gates: p.gates, Role: p.bound.Role, Provider: link.Platform.Name, BaseURL: link.Connection.BaseURL(),
		Organization: p.reach.Account, Repositories: p.reach.Written,
		Permissions: providers.FormatPermissions(p.permissions), Lease: p.lease, Required: p.required,
	}, nil
}
