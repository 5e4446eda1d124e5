// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package roles brings a role together with what it refers to: its config, stage,
// environment and issuer, at writing and at every use.
package roles

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/catalog"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/connect"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/issuers"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Service checks roles and environments against each other.
type Service struct {
	catalog     *catalog.Catalog
	connections *connect.Service
	issuers     *issuers.Service
	storage     logical.Storage
	live        Live
	mount       string
	logger      hclog.Logger
}

// Live counts a role's live tokens.
type Live interface {
	Ready() bool
	LiveOf(role string) int
}

// New makes the service. mount is the mount's own unchanging name.
func New(storage logical.Storage, c *catalog.Catalog, connections *connect.Service, i *issuers.Service, live Live, mount string, logger hclog.Logger) *Service {
	return &Service{catalog: c, connections: connections, issuers: i, storage: storage, live: live, mount: mount, logger: logger}
}

// Mount is the mount's own unchanging name.
func (s *Service) Mount() string { return s.mount }

// Subject names a role for platforms that keep an account for each.
func (s *Service) Subject(role string) string { return s.mount + "/" + role }

// Bound is a role with all that it refers to, as it stands now.
type Bound struct {
	Role *policy.Role
	policy.Surroundings
	Link *connect.Link
}

// Load brings together a role. A config that is no more is fault.Denied; a stage
// or an environment that is no more is nil, which policy refuses.
func (s *Service) Load(ctx context.Context, name string) (*Bound, error) {
	role, err := s.catalog.Role(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.bind(ctx, role)
}

func (s *Service) bind(ctx context.Context, role *policy.Role) (*Bound, error) {
	link, err := s.connections.Link(ctx, role.Config)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.Denied, "config: %w; write it again or give %s another", err, role)
	}
	if err != nil {
		return nil, err
	}
	stage, err := s.catalog.Stage(ctx, role.Stage)
	if err != nil {
		return nil, err
	}
	environment, err := s.catalog.Environment(ctx, role.Environment)
	if err != nil {
		return nil, err
	}
	return &Bound{
		Role: role, Link: link,
		Surroundings: policy.Surroundings{
			Platform: link.Platform, Stage: stage, Environment: environment,
			Config: policy.ConfigFacts{
				Name: role.Config, Account: link.Config.Account(), AllowedRoles: link.Config.AllowedRoles,
			},
		},
	}, nil
}

// Write puts a role in the place of old, which is nil for a new one, when it is one
// that could be used. The warnings say what will be capped.
func (s *Service) Write(ctx context.Context, name string, old, role *policy.Role) (warnings []string, err error) {
	role.Name, role.Revision = name, rand.Text()
	bound, err := s.written(ctx, role)
	if err != nil {
		return nil, err
	}
	if err := policy.CheckRole(role, bound.Surroundings); err != nil {
		return nil, err
	}
	if err := s.checkAllowed(bound); err != nil {
		return nil, err
	}
	if err := s.checkIdentity(ctx, bound); err != nil {
		return nil, err
	}
	if err := s.checkGrant(ctx, bound); err != nil {
		return nil, err
	}
	if old != nil && old.Config != role.Config {
		if err := s.retire(ctx, old.Config, name); err != nil {
			return nil, err
		}
	}
	return ttlWarnings(bound), s.catalog.Roles.Replace(ctx, name, old, role)
}

// written is bind for a role that is being written: what it refers to must be there.
func (s *Service) written(ctx context.Context, role *policy.Role) (*Bound, error) {
	for _, field := range []struct{ name, value string }{
		{"config", role.Config}, {"stage", role.Stage}, {"environment", role.Environment},
	} {
		if field.value == "" {
			return nil, fault.InvalidField(field.name, "is required")
		}
	}
	if c, err := s.connections.Get(ctx, role.Config); err != nil {
		return nil, err
	} else if c == nil {
		return nil, fault.InvalidField("config", "there is no config %q; write config/%s first", role.Config, role.Config)
	}
	bound, err := s.bind(ctx, role)
	if err != nil {
		return nil, err
	}
	if bound.Stage == nil {
		names, err := s.catalog.StageNames(ctx)
		if err != nil {
			return nil, err
		}
		return nil, fault.InvalidField("stage", "there is no stage %q; there are %v", role.Stage, names)
	}
	if bound.Environment == nil {
		return nil, fault.InvalidField("environment", "there is no environment %q; write environments/%s first", role.Environment, role.Environment)
	}
	return bound, nil
}

// checkAllowed refuses a role that its environment or its config would refuse later.
func (s *Service) checkAllowed(b *Bound) error {
	switch e := b.Environment; {
	case b.Role.LacksIdentity(e):
		return fault.InvalidField("issuer", "is required: environment %q requires the job's own identity", e.Name)
	case b.Role.LacksVoucher(e):
		return fault.InvalidField("issuer", "is required: bound_claims of the role or of environment %q say whose job may come, and only an issuer vouches for that", e.Name)
	}
	for _, gate := range policy.StandingGates(&policy.Role{
		Name: b.Role.Name, Stage: b.Role.Stage, Permissions: b.Role.Permissions,
		Issuer: b.Role.Issuer, BoundClaims: b.Role.BoundClaims,
	}, b.Surroundings, timeless) {
		if gate.Err != nil {
			return fault.New(fault.Invalid, "%w", gate.Err)
		}
	}
	return nil
}

// checkIdentity judges what a role asks of the job's own identity.
func (s *Service) checkIdentity(ctx context.Context, b *Bound) error {
	entries, err := policy.ParseRepositories(b.Role.Repositories, b.Config.Account)
	if err != nil {
		return err
	}
	ofRole, err := identity.ParseBound("bound_claims", b.Role.BoundClaims)
	if err != nil {
		return err
	}
	ofEnvironment, err := identity.ParseBound("bound_claims", b.Environment.BoundClaims)
	if err != nil {
		return err
	}
	if b.Role.Issuer == "" {
		for _, e := range entries {
			if e.Template != nil {
				return fault.InvalidField("repositories", "%s names a claim, and the role has no issuer to vouch for it", e.Written)
			}
		}
		if b.Role.SingleUse {
			return fault.InvalidField("single_use", "needs an issuer: a credential for each job token, and there is none")
		}
		return nil
	}
	written, err := s.issuers.Get(ctx, b.Role.Issuer)
	if err != nil {
		return err
	}
	if written == nil {
		return fault.InvalidField("issuer", "there is no issuer %q; write issuers/%s first", b.Role.Issuer, b.Role.Issuer)
	}
	issuer, err := written.Complete()
	if err != nil {
		return fmt.Errorf("issuer %q: %w", b.Role.Issuer, err)
	}
	if ok, why := issuer.Binds(ofRole, ofEnvironment); !ok {
		return fault.InvalidField("bound_claims", "%s", why)
	}
	for _, e := range entries {
		if e.Template == nil {
			continue
		}
		if err := e.Template.Check("repositories", issuer, b.Role.Config); err != nil {
			return err
		}
	}
	return nil
}

// checkGrant asks the provider whether it could make such a token at all.
func (s *Service) checkGrant(ctx context.Context, b *Bound) error {
	entries, err := policy.ParseRepositories(b.Role.Repositories, b.Config.Account)
	if err != nil {
		return err
	}
	permissions, err := providers.ParsePermissions("permissions", b.Role.Permissions)
	if err != nil {
		return err
	}
	grant := providers.Grant{Subject: s.Subject(b.Role.Name), Permissions: permissions}
	for _, e := range entries {
		if e.Template != nil {
			// Whose repository it will be is known when the job comes.
			grant.Narrowed = true
			grant.Account, grant.Repositories = "account", append(grant.Repositories, "repository")
			continue
		}
		grant.Narrowed = grant.Narrowed || e.IsPattern()
		grant.Account, grant.Repositories = e.Account, append(grant.Repositories, e.Name)
	}
	if err := learn(ctx, b.Link, grant); err != nil {
		return err
	}
	return b.Link.Connection.Check(grant)
}

// learn lets the connection ask its server what it can do, where that decides
// whether the grant can be made.
func learn(ctx context.Context, link *connect.Link, grant providers.Grant) error {
	learner, learns := link.Connection.(providers.Learner)
	if !learns || !grant.Narrowed {
		return nil
	}
	return link.Gate.Do(ctx, connect.Other, learner.Learn)
}

func ttlWarnings(b *Bound) []string {
	most := b.Environment.MaxTTL
	if most > 0 && max(b.Role.TTL, b.Role.MaxTTL) > most {
		return []string{fmt.Sprintf("environment %q caps every lease at %s", b.Environment.Name, most)}
	}
	return nil
}
