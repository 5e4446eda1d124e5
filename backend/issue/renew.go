// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package issue

import (
	"context"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/roles"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Renewal is what Vault is told of a renewed lease.
type Renewal struct {
	TTL, MaxTTL time.Duration
}

// Renew prolongs a lease while the role's gates still hold for what the token can
// do. issued and increment are as Vault has them, so that both come to the same end.
func (s *Service) Renew(ctx context.Context, id string, issued time.Time, increment time.Duration) (Renewal, error) {
	live, err := s.ledger.Live(ctx, id)
	if err != nil {
		return Renewal{}, err
	}
	if live == nil {
		return Renewal{}, fault.New(fault.Denied, "renewal: the token is dead; read a new credential")
	}
	lease, err := s.renewable(ctx, live)
	if err != nil {
		return Renewal{}, err
	}
	now := s.now()
	_, err = s.ledger.Change(ctx, id, func(l *ledger.Live) error {
		if l.Killed != "" || l.Status != ledger.Active || s.revoker.Ordered(&l.Record) {
			return fault.New(fault.Denied, "renewal: the token was killed")
		}
		l.LeaseUntil = policy.Renewed(now, issued, increment, lease.TTL, lease.MaxTTL)
		return nil
	})
	if fault.Is(err, fault.NotFound) {
		return Renewal{}, fault.New(fault.Denied, "renewal: the token is dead; read a new credential")
	}
	return Renewal{lease.TTL, lease.MaxTTL}, err
}

// renewable asks the gates again, as they stand now, for what the token can do.
func (s *Service) renewable(ctx context.Context, live *ledger.Live) (policy.Lease, error) {
	bound, err := s.roles.Load(ctx, live.Role)
	if fault.Is(err, fault.NotFound) {
		return policy.Lease{}, fault.New(fault.Denied, "renewal: %w any more", err)
	}
	if err != nil {
		return policy.Lease{}, err
	}
	if err := policy.FirstShut(policy.StandingGates(bound.Role, bound.Surroundings, s.now())); err != nil {
		return policy.Lease{}, err
	}
	if err := policy.CallerAddress(bound.Role, live.Address); err != nil {
		return policy.Lease{}, err
	}
	if err := s.stillAllowed(ctx, live, bound); err != nil {
		return policy.Lease{}, err
	}
	if required := policy.RequiredApprovals(bound.Role, bound.Surroundings); len(live.ApprovedBy) < required {
		return policy.Lease{}, fault.New(fault.Denied, "renewal: approval: %d other(s) must approve now, and %d did; read a new credential", required, len(live.ApprovedBy))
	}
	limits := policy.Limits{Mount: s.mountMax(), Platform: live.ExpiresAt.Sub(live.IssuedAt)}
	// The role's own end is counted from the issue as all others are.
	return policy.Cap(bound.Role, bound.Environment, live.TTL, limits, live.IssuedAt)
}

// stillAllowed holds that the role, as it is now, would still allow what the token
// can do.
func (s *Service) stillAllowed(ctx context.Context, live *ledger.Live, b *roles.Bound) error {
	if live.Config != b.Role.Config || live.Environment != b.Role.Environment || live.Stage != b.Role.Stage {
		return fault.New(fault.Denied, "renewal: %s has moved to another config, stage or environment; read a new credential", b.Role)
	}
	allowed, err := providers.ParsePermissions("permissions", b.Role.Permissions)
	if err != nil {
		return err
	}
	has, err := providers.ParsePermissions("permissions", live.Permissions)
	if err != nil {
		return err
	}
	if excess := policy.Excess(allowed, has); len(excess) > 0 {
		return fault.New(fault.Denied, "renewal: the token can do more than %s allows now: %v; read a new credential", b.Role, excess)
	}
	entries, err := policy.ParseRepositories(b.Role.Repositories, b.Config.Account)
	if err != nil {
		return err
	}
	issuer, claims, err := s.stillBound(ctx, live, b)
	if err != nil {
		return err
	}
	if entries, _, err = ownRepositories(b.Role, entries, issuer, claims); err != nil {
		return err
	}
	full := make([]string, len(live.Repositories))
	for i, name := range live.Repositories {
		full[i] = policy.FullName(live.Organization, name)
	}
	_, err = policy.Narrow(b.Role, entries, full, true)
	return err
}

// stillBound matches the job's claims, as they were proven, against what is bound
// now. A claim that was not kept matches nothing.
func (s *Service) stillBound(ctx context.Context, live *ledger.Live, b *roles.Bound) (issuer identity.Issuer, claims identity.Claims, err error) {
	if live.Issuer != b.Role.Issuer {
		return issuer, claims, fault.New(fault.Denied, "renewal: %s has another issuer now; read a new credential", b.Role)
	}
	if live.Issuer == "" {
		return issuer, claims, nil
	}
	verifier, err := s.issuers.Verifier(ctx, live.Issuer)
	if err != nil {
		return issuer, claims, err
	}
	if claims, err = claimsOf(live.Claims); err != nil {
		return issuer, claims, err
	}
	issuer = verifier.Issuer()
	if err := matchBound(b, issuer, claims); err != nil {
		return issuer, claims, fault.New(fault.Denied, "renewal: %w (held against what the job proved when the token was made); read a new credential", err)
	}
	return issuer, claims, nil
}
