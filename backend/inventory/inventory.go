// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package inventory tells what machine identities there are, who answers for them,
// how far they reach and whether anybody needs them.
package inventory

import (
	"context"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/catalog"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/connect"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/revoke"
)

const (
	// nearEnd is how long before its valid_until a role is called out.
	nearEnd = 14 * 24 * time.Hour
	// idleAfter is how long a role may be without an issue before it is called out.
	idleAfter = 30 * 24 * time.Hour
)

// Service makes the report of one mount.
type Service struct {
	catalog     *catalog.Catalog
	connections *connect.Service
	ledger      *ledger.Ledger
	revoker     *revoke.Service
	now         func() time.Time
}

// New makes the service.
func New(c *catalog.Catalog, connections *connect.Service, l *ledger.Ledger, r *revoke.Service, now func() time.Time) *Service {
	return &Service{catalog: c, connections: connections, ledger: l, revoker: r, now: now}
}

// Report is the inventory at one moment.
type Report struct {
	At      time.Time
	Roles   []Role
	Configs []Config
	Kills   []revoke.Order
	// Live counts all tokens that are not known to be dead. Counted is false while
	// a start is still counting them: figures of live tokens are too low then.
	Live        int
	Counted     bool
	QueueLength int
	QueueOldest time.Duration
}

// Role is one role's line.
type Role struct {
	*policy.Role
	Provider, Account string
	Figures           ledger.RoleFigures
	// Idle: no credential for thirty days. Ended and EndsSoon speak of valid_until.
	Idle, Ended, EndsSoon bool
}

// Config is one config's line: how old its own credentials are.
type Config struct {
	Name, Provider, BaseURL string
	SecretSetAt             map[string]time.Time
	Live                    int
}

// Report makes the inventory.
func (s *Service) Report(ctx context.Context) (*Report, error) {
	// What happened before the question is part of the answer.
	if err := s.ledger.Flush(ctx); err != nil {
		return nil, err
	}
	r := &Report{At: s.now().UTC(), Live: s.ledger.LiveTotal(), Counted: s.ledger.Ready(), Kills: s.revoker.Orders()}
	r.QueueLength, r.QueueOldest = s.revoker.Queued()
	var failed error
	err := s.catalog.Roles.Each(ctx, func(name string, role *policy.Role) bool {
		named := *role
		named.Name = name
		line, err := s.role(ctx, &named)
		if err != nil {
			failed = err
			return false
		}
		r.Roles = append(r.Roles, line)
		return true
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	r.Configs, err = s.configs(ctx)
	return r, err
}

func (s *Service) role(ctx context.Context, role *policy.Role) (Role, error) {
	line := Role{Role: role, Figures: s.ledger.Figures(role.Name)}
	c, err := s.connections.Get(ctx, role.Config)
	if err != nil {
		return Role{}, err
	}
	if c != nil {
		line.Provider = c.Provider
		if entries, err := policy.ParseRepositories(role.Repositories, c.Account()); err == nil && len(entries) > 0 {
			line.Account = entries[0].Account
		}
	}
	line.Idle = s.now().Sub(line.Figures.LastIssued) > idleAfter
	if until, err := time.Parse(time.RFC3339, role.ValidUntil); err == nil {
		line.Ended = !s.now().Before(until)
		line.EndsSoon = !line.Ended && until.Sub(s.now()) <= nearEnd
	}
	return line, nil
}

func (s *Service) configs(ctx context.Context) ([]Config, error) {
	names, err := s.connections.List(ctx)
	if err != nil {
		return nil, err
	}
	var lines []Config
	for _, name := range names {
		c, err := s.connections.Get(ctx, name)
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		live, err := s.ledger.LiveAt(name, "")
		if err != nil {
			live = 0 // still being counted: the report says so
		}
		lines = append(lines, Config{Name: name, Provider: c.Provider, BaseURL: c.BaseURL, SecretSetAt: c.SetAt, Live: live})
	}
	return lines, nil
}
