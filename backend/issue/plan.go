// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package issue

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/approval"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/roles"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// plan is a request thought through to the point where only the platform is left
// to be asked.
type plan struct {
	bound       *roles.Bound
	gates       []policy.Gate
	identity    *identity.Identity
	issuer      identity.Issuer     // who vouches for it
	entries     []policy.Repository // the role's, claims not resolved
	reach       policy.Reach
	permissions []providers.Permission
	lease       policy.Lease
	askedTTL    time.Duration
	mountMax    time.Duration
	required    int
	approval    *approval.Approval
	// place is held until the record takes it over.
	place *ledger.Place
}

// plan asks every gate and keeps each answer, open or shut. The error is for what
// is no gate: a role that is not there, storage that fails.
func (s *Service) plan(ctx context.Context, req Request) (*plan, error) {
	bound, err := s.roles.Load(ctx, req.Role)
	if err != nil {
		return nil, err
	}
	p := &plan{bound: bound, askedTTL: req.TTL, mountMax: s.mountMax()}
	now := s.now()
	p.gates = policy.StandingGates(bound.Role, bound.Surroundings, now)
	if bound.Stage == nil || bound.Environment == nil {
		return p, nil // the gates say so, and what follows needs both
	}
	p.required = policy.RequiredApprovals(bound.Role, bound.Surroundings)
	p.add("caller_address", policy.CallerAddress(bound.Role, req.Caller.Address))
	p.add("identity", s.identify(ctx, p, req.IDToken))
	p.add("repositories", p.resolve(req))
	p.permissions, err = policy.NarrowPermissions(bound.Role, req.Permissions, req.NamedPermissions)
	p.add("permissions", err)
	p.lease, err = policy.Cap(bound.Role, bound.Environment, req.TTL, policy.Limits{Mount: p.mountMax, Platform: bound.Platform.LongestLife}, now)
	p.add("ttl", err)
	p.add("single_use", s.unseen(ctx, p))
	p.add("approval", s.approved(ctx, p, req))
	p.add("max_active", s.roomFor(bound.Role))
	return p, nil
}

func (p *plan) add(gate string, err error) {
	p.gates = append(p.gates, policy.Gate{Name: gate, Err: err})
}

func (p *plan) firstShut() error { return policy.FirstShut(p.gates) }

// identify verifies the job's own token where the role has an issuer, and matches
// what it claims against what role and environment bind.
func (s *Service) identify(ctx context.Context, p *plan, idToken string) error {
	role := p.bound.Role
	if role.Issuer == "" {
		return nil
	}
	verifier, err := s.issuers.Verifier(ctx, role.Issuer)
	if err != nil {
		return err
	}
	if idToken == "" {
		return fault.New(fault.Denied, "identity: %s issues only against the job's own token: write id_token (a JWT of issuer %q) in the request body", role, role.Issuer)
	}
	proven, err := verifier.Verify(ctx, idToken)
	if err != nil {
		return err
	}
	if err := matchBound(p.bound, verifier.Issuer(), proven.Claims); err != nil {
		return err
	}
	p.identity, p.issuer = proven, verifier.Issuer()
	return nil
}

// matchBound holds the claims against the lists of the role and its environment:
// both must pass, and where the issuer vouches for everybody they must say whose
// jobs may come.
func matchBound(b *roles.Bound, issuer identity.Issuer, claims identity.Claims) error {
	var bounds []identity.Bound
	for _, list := range []struct {
		of     string
		claims []string
	}{
		{"role " + b.Role.Name, b.Role.BoundClaims},
		{"environment " + b.Role.Environment, b.Environment.BoundClaims},
	} {
		bound, err := identity.ParseBound("bound_claims", list.claims)
		if err != nil {
			return fault.New(fault.Denied, "identity: %s: %w", list.of, err)
		}
		if ok, why := bound.Match(claims); !ok {
			return fault.New(fault.Denied, "identity: bound_claims of %s: %s", list.of, why)
		}
		bounds = append(bounds, bound)
	}
	if ok, why := issuer.Binds(bounds...); !ok {
		return fault.New(fault.Denied, "identity: %s", why)
	}
	return nil
}

// keptClaims are those that are bound or that name the job's repository, for a
// renewal to hold against the role again.
func (p *plan) keptClaims() map[string]string {
	texts := map[string]string{}
	keep := func(claim string) {
		if text, ok := p.identity.Claims.Text(claim); ok {
			texts[claim] = text
		}
	}
	for _, entry := range slices.Concat(p.bound.Role.BoundClaims, p.bound.Environment.BoundClaims) {
		claim, _, _ := strings.Cut(entry, "=")
		keep(claim)
	}
	for _, entry := range p.entries {
		if entry.Template != nil {
			keep(entry.Template.Claim())
		}
	}
	return texts
}

// claimsOf makes claims of kept texts.
func claimsOf(texts map[string]string) (identity.Claims, error) {
	encoded, err := json.Marshal(texts)
	if err != nil {
		return identity.Claims{}, err
	}
	return identity.ParseClaims(encoded)
}

// resolve finds the exact repositories.
func (p *plan) resolve(req Request) error {
	var err error
	if p.entries, err = policy.ParseRepositories(p.bound.Role.Repositories, p.bound.Config.Account); err != nil {
		return err
	}
	var claims identity.Claims
	if p.identity != nil {
		claims = p.identity.Claims
	}
	entries, templated, err := ownRepositories(p.bound.Role, p.entries, p.issuer, claims)
	if err != nil {
		return err
	}
	p.reach, err = policy.Narrow(p.bound.Role, entries, req.Repositories, req.NamedRepositories)
	p.reach.Narrowed = p.reach.Narrowed || templated
	return err
}

// ownRepositories replaces the entries that name a claim by the job's own
// repository, where the issuer, as it is now, still vouches for that claim.
func ownRepositories(role *policy.Role, entries []policy.Repository, issuer identity.Issuer, claims identity.Claims) ([]policy.Repository, bool, error) {
	for _, entry := range entries {
		if entry.Template == nil {
			continue
		}
		if issuer.Name == "" {
			return nil, true, fault.New(fault.Denied, "repositories: %s is the job's own, and no id_token has proven the job", entry.Written)
		}
		if err := entry.Template.Check("repositories", issuer, role.Config); err != nil {
			return nil, true, fault.New(fault.Denied, "identity: %w", err)
		}
	}
	return policy.ResolveTemplates(entries, claims)
}

func (s *Service) unseen(ctx context.Context, p *plan) error {
	if !p.bound.Role.SingleUse {
		return nil
	}
	if p.identity == nil {
		return fault.New(fault.Denied, "single_use: there is no proven id_token to count by")
	}
	return s.seen.check(ctx, p.identity)
}

// askFor is the command that asks for an approval of a role.
func askFor(role *policy.Role, caller policy.Caller) string {
	command := "vault write " + caller.Mount + "approvals/" + role.Name + ` reason="..."`
	if role.Issuer != "" {
		command += ` id_token="$ID_TOKEN"`
	}
	return command
}

// approved finds the approval that the role needs.
func (s *Service) approved(ctx context.Context, p *plan, req Request) error {
	if p.required == 0 {
		return nil
	}
	role, ask := p.bound.Role.Name, "ask with: "+askFor(p.bound.Role, req.Caller)
	if req.ApprovalID == "" {
		return fault.New(fault.Denied, "approval: %d other(s) must approve; %s, then write approval_id here", p.required, ask)
	}
	a, err := s.approvals.Get(ctx, role, req.ApprovalID)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.Denied, "approval: %w; %s", err, ask)
	}
	if err != nil {
		return err
	}
	basis, err := s.basis(ctx, p.bound)
	if err != nil {
		return err
	}
	switch status := a.StatusAt(s.now(), basis); status {
	case approval.Approved:
	case approval.Pending:
		return fault.New(fault.Denied, "approval: %q is still to be decided (%d needed)", a.ID, a.Required)
	case approval.Void:
		return fault.New(fault.Denied, "approval: %q is void: role, stage, environment, config or issuer changed since; %s", a.ID, ask)
	default:
		return fault.New(fault.Denied, "approval: %q is %s; %s", a.ID, status, ask)
	}
	if a.Required < p.required {
		return fault.New(fault.Denied, "approval: %q was for fewer people than the %d that are needed now; %s", a.ID, p.required, ask)
	}
	var run *identity.Run
	if p.identity != nil {
		current, err := p.identity.Run()
		if err != nil {
			return err
		}
		run = &current
	}
	ok, why := a.For(req.Caller, run)
	if ok && p.identity != nil {
		if ok, why, err = s.approvals.Independent(a, p.identity.Job()); err != nil {
			return err
		}
	}
	if !ok {
		return fault.New(fault.Denied, "approval: %q does not serve: %s; %s", a.ID, why, ask)
	}
	p.approval = a
	return nil
}

// roomFor tells whether max_active leaves room now; the mint reserves it for real.
func (s *Service) roomFor(role *policy.Role) error {
	return s.ledger.Room(role.Name, role.MaxActive)
}
