// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package issue makes credentials: it asks every gate, has the provider mint,
// checks what was granted, records it and hands it out. A token that cannot be
// handed out is revoked before the answer.
package issue

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/approval"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/connect"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/issuers"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/metrics"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/revoke"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/roles"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Request is what a caller asks for. The named flags tell a list that was written
// empty from one that was not written.
type Request struct {
	Role              string
	Repositories      []string
	NamedRepositories bool
	Permissions       []string
	NamedPermissions  bool
	// TTL is zero where none was asked.
	TTL        time.Duration
	IDToken    string
	ApprovalID string
	Caller     policy.Caller
}

// Credential is what a caller gets.
type Credential struct {
	ledger.Record
	Token    string
	Lease    policy.Lease
	Warnings []string
}

// Service issues the credentials of one mount.
type Service struct {
	connections *connect.Service
	roles       *roles.Service
	issuers     *issuers.Service
	approvals   *approval.Service
	ledger      *ledger.Ledger
	revoker     *revoke.Service
	storage     logical.Storage
	// mountMax is the least of the mount's and the system's max_lease_ttl.
	mountMax func() time.Duration
	now      func() time.Time
	logger   hclog.Logger
	metrics  *metrics.Metrics
	seen     *seen
	lost     *lost
}

// New makes the service.
func New(storage logical.Storage, c *connect.Service, r *roles.Service, i *issuers.Service, a *approval.Service, l *ledger.Ledger, rv *revoke.Service,
	mountMax func() time.Duration, now func() time.Time, logger hclog.Logger, m *metrics.Metrics) *Service {
	return &Service{
		connections: c, roles: r, issuers: i, approvals: a, ledger: l, revoker: rv, storage: storage,
		mountMax: mountMax, now: now, logger: logger, metrics: m, seen: newSeen(storage), lost: newLost(),
	}
}

// Issue makes a credential, or says which gate is shut. Whatever goes wrong after
// the platform made a token, the caller's going away included, the token is revoked.
func (s *Service) Issue(ctx context.Context, req Request) (*Credential, error) {
	credential, err := s.issue(ctx, req)
	if err != nil {
		s.metrics.Refused(req.Role, err)
		return nil, err
	}
	return credential, nil
}

func (s *Service) issue(ctx context.Context, req Request) (*Credential, error) {
	moment := s.revoker.Moment()
	plan, err := s.plan(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := plan.firstShut(); err != nil {
		return nil, err
	}
	release, err := s.reserve(ctx, plan)
	if err != nil {
		return nil, err
	}
	defer release()
	// A caller that hangs up must not cut the mint in two: it is carried through,
	// and what it made is revoked below.
	detached := context.WithoutCancel(ctx)
	live, token, err := s.mint(detached, plan, req)
	if err != nil {
		return nil, err
	}
	err = s.record(detached, plan, live, token)
	s.lost.end(live.TokenID)
	if err != nil {
		return nil, err
	}
	if err := s.handable(ctx, moment, live); err != nil {
		return nil, s.takeBack(detached, live, err)
	}
	return &Credential{Record: live.Record, Token: token.Secret, Lease: plan.lease, Warnings: plan.lease.Warnings}, nil
}

// mint has the platform make the token and checks what came of it. What is more
// than was asked is revoked and refused.
func (s *Service) mint(ctx context.Context, p *plan, req Request) (*ledger.Live, *providers.Token, error) {
	link := p.bound.Link
	ctx, cancel := context.WithTimeout(ctx, 2*link.Config.RequestTimeout)
	defer cancel()
	grant, err := s.grant(p, link)
	if err != nil {
		return nil, nil, err
	}
	if err := link.Connection.Check(grant); err != nil {
		return nil, nil, err
	}
	s.lost.begin(link, grant)
	var token *providers.Token
	err = s.connections.Call(ctx, link, connect.Mint, func(ctx context.Context, c providers.Connection) (err error) {
		token, err = c.Mint(ctx, grant)
		return err
	})
	if err != nil {
		// Whatever it failed with: that it left nothing behind is not proven.
		s.lost.missing(grant.TokenID, s.now())
		return nil, nil, err
	}
	live := s.live(p, req, grant, token)
	if err := s.check(p, grant, token, live); err != nil {
		err = s.discard(ctx, link, live, token, err)
		s.lost.end(live.TokenID)
		return nil, nil, err
	}
	return live, token, nil
}

func (s *Service) grant(p *plan, link *connect.Link) (providers.Grant, error) {
	grant := providers.Grant{
		Subject: s.roles.Subject(p.bound.Role.Name), Account: p.reach.Account,
		Repositories: p.reach.Names, Narrowed: p.reach.Narrowed, Permissions: p.permissions,
		ExpiresAt: s.now().Add(p.lease.MaxTTL),
	}
	if _, named := link.Connection.(providers.Finder); !named {
		return grant, nil
	}
	id, err := ledger.NewID(rand.Reader, s.now())
	grant.TokenID = id
	return grant, err
}

// live is the record of a token that was just made.
func (s *Service) live(p *plan, req Request, grant providers.Grant, token *providers.Token) *ledger.Live {
	now, role := s.now().UTC(), p.bound.Role
	id := grant.TokenID
	if id == "" {
		id = ledger.IDFor(token.Secret, now)
	}
	live := &ledger.Live{
		Record: ledger.Record{
			TokenID: id, TokenSHA256: ledger.Hash(token.Secret), Username: token.Username,
			Provider: p.bound.Platform.Name, Config: role.Config, BaseURL: p.bound.Link.Connection.BaseURL(),
			Organization: p.reach.Account, Role: role.Name, Stage: role.Stage, Environment: role.Environment,
			Owner: role.Owner, Purpose: role.Purpose, Repositories: p.reach.Written,
			Permissions: providers.FormatPermissions(p.permissions), ExpiresAt: token.ExpiresAt.UTC(),
			Status: ledger.Active, IssuedAt: now,
			RequestID: req.Caller.RequestID, EntityID: req.Caller.EntityID, DisplayName: req.Caller.DisplayName,
		},
		Place: p.place, Handle: token.Handle, EndsItself: !token.ExpiresAt.IsZero(), Indexed: grant.TokenID != "",
		Address: req.Caller.Address,
	}
	if p.identity != nil {
		live.Issuer = role.Issuer
		live.Job = p.identity.Job().Facts()
		live.Claims = p.keptClaims()
	}
	if p.approval != nil {
		live.ApprovedBy = p.approval.Approvers()
	}
	return live
}

// check compares what was granted with what was asked, and fits the lease into the
// token's own life.
func (s *Service) check(p *plan, grant providers.Grant, token *providers.Token, live *ledger.Live) error {
	if err := policy.CheckGranted(grant, token); err != nil {
		return err
	}
	limits := policy.Limits{Mount: p.mountMax}
	if live.EndsItself {
		limits.Platform = live.ExpiresAt.Sub(live.IssuedAt)
		if limits.Platform <= 0 {
			return fault.New(fault.Nonsense, "the platform's token has ended already: its clock and ours are apart")
		}
	}
	lease, err := policy.Cap(p.bound.Role, p.bound.Environment, p.askedTTL, limits, live.IssuedAt)
	if err != nil {
		return err
	}
	p.lease = lease
	live.TTL, live.MaxTTL = lease.TTL, lease.MaxTTL
	live.LeaseUntil = live.IssuedAt.Add(lease.TTL)
	if !live.EndsItself {
		// Nobody but the engine ends it: at the latest when no renewal is possible.
		live.ExpiresAt = live.IssuedAt.Add(lease.MaxTTL)
	}
	return nil
}

// handable reports why a token that is made and recorded must not be handed out.
func (s *Service) handable(ctx context.Context, moment int, live *ledger.Live) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unavailable, "the caller went away while the token was being made")
	}
	if s.revoker.KilledSince(moment, &live.Record) {
		return fault.New(fault.Denied, "killed: a kill that means this credential came while it was being made")
	}
	return nil
}
