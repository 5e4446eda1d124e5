// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/glob"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Gate is one condition of issuing and what came of asking it.
type Gate struct {
	Name string
	// Err is nil where the gate is open; else it says why it is shut and what opens it.
	Err error
}

// StandingGates are the gates that hold at issue and at each renewal alike: they
// depend on the role and what surrounds it, not on the caller.
func StandingGates(r *Role, s Surroundings, now time.Time) []Gate {
	return []Gate{
		{"enabled", enabled(r)},
		{"validity", valid(r, now)},
		{"config", configAllows(r, s.Config)},
		{"stage", stageAllows(r, s)},
		{"environment", environmentAllows(r, s.Environment)},
	}
}

// FirstShut is the first shut gate's error, or nil.
func FirstShut(gates []Gate) error {
	for _, g := range gates {
		if g.Err != nil {
			return g.Err
		}
	}
	return nil
}

func enabled(r *Role) error {
	if r.Disabled {
		return fault.New(fault.Denied, "enabled: %s is disabled; its owner (%s) can write disabled=false", r, r.Owner)
	}
	return nil
}

func valid(r *Role, now time.Time) error {
	from, err := parseTime("valid_from", r.ValidFrom)
	if err != nil {
		return fault.New(fault.Denied, "validity: %w", err)
	}
	until, err := parseTime("valid_until", r.ValidUntil)
	if err != nil {
		return fault.New(fault.Denied, "validity: %w", err)
	}
	if !from.IsZero() && now.Before(from) {
		return fault.New(fault.Denied, "validity: %s is valid from %s", r, r.ValidFrom)
	}
	if !until.IsZero() && !now.Before(until) {
		return fault.New(fault.Denied, "validity: %s was valid until %s; its owner (%s) can prolong it", r, r.ValidUntil, r.Owner)
	}
	return nil
}

func configAllows(r *Role, c ConfigFacts) error {
	if !glob.MatchAny(c.AllowedRoles, r.Name) {
		return fault.New(fault.Denied, "config: %q does not allow %s; whoever owns the config can add it to allowed_roles", c.Name, r)
	}
	return nil
}

func stageAllows(r *Role, s Surroundings) error {
	if s.Stage == nil {
		return fault.New(fault.Denied, "stage: %q is no more; write it again or move %s to another", r.Stage, r)
	}
	excess, err := overCeiling(r, s.Stage, s.Platform.Name)
	if err != nil {
		return fault.New(fault.Denied, "stage: %w", err)
	}
	if excess != "" {
		return fault.New(fault.Denied, "stage: %s is over the ceiling of stage %q: %s; lower the role or have the ceiling raised", r, r.Stage, excess)
	}
	return nil
}

func environmentAllows(r *Role, e *Environment) error {
	switch {
	case e == nil:
		return fault.New(fault.Denied, "environment: %q is no more; write it again or move %s to another", r.Environment, r)
	case len(e.AllowedStages) > 0 && !slices.Contains(e.AllowedStages, r.Stage):
		return fault.New(fault.Denied, "environment: %q does not allow stage %q, only %s", e.Name, r.Stage, strings.Join(e.AllowedStages, ", "))
	case !glob.MatchAny(e.AllowedRoles, r.Name):
		return fault.New(fault.Denied, "environment: %q does not allow %s; whoever owns the environment can add it to allowed_roles", e.Name, r)
	case r.LacksIdentity(e):
		return fault.New(fault.Denied, "environment: %q requires the job's own identity and %s has no issuer", e.Name, r)
	case r.LacksVoucher(e):
		return fault.New(fault.Denied, "environment: claims are bound for %s, but it has no issuer to vouch for them", r)
	}
	return nil
}

// LacksIdentity reports whether the environment requires the job's own identity and the
// role has no issuer.
func (r *Role) LacksIdentity(e *Environment) bool {
	return r.Issuer == "" && (e.RequireIdentity || e.Production)
}

// LacksVoucher reports whether claims are bound and the role has no issuer to vouch for
// them.
func (r *Role) LacksVoucher(e *Environment) bool {
	return r.Issuer == "" && len(r.BoundClaims)+len(e.BoundClaims) > 0
}

// CallerAddress judges where the caller comes from.
func CallerAddress(r *Role, address string) error {
	if len(r.BoundCIDRs) == 0 {
		return nil
	}
	prefixes, err := parsePrefixes(r.BoundCIDRs)
	if err != nil {
		return fault.New(fault.Denied, "caller_address: %w", err)
	}
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return fault.New(fault.Denied, "caller_address: the caller's address is not known, and %s is bound to %s", r, strings.Join(r.BoundCIDRs, ", "))
	}
	addr = addr.Unmap()
	for _, p := range prefixes {
		if p.Contains(addr) {
			return nil
		}
	}
	return fault.New(fault.Denied, "caller_address: %s is outside %s", addr, strings.Join(r.BoundCIDRs, ", "))
}

// NarrowPermissions gives what the caller gets: the role's permissions, or those of
// them that were asked for. named tells an empty list that was written from none.
func NarrowPermissions(r *Role, asked []string, named bool) ([]providers.Permission, error) {
	allowed, err := providers.ParsePermissions("permissions", r.Permissions)
	if err != nil {
		return nil, err
	}
	if !named {
		return allowed, nil
	}
	if len(asked) == 0 {
		return nil, fault.InvalidField("permissions", "is empty: none never means all; leave it out or name some")
	}
	permissions, err := providers.ParsePermissions("permissions", asked)
	if err != nil {
		return nil, err
	}
	if excess := Excess(allowed, permissions); len(excess) > 0 {
		return nil, fault.New(fault.Denied, "permissions: beyond %s: %s; ask its owner (%s) to allow more", r, strings.Join(excess, ", "), r.Owner)
	}
	return permissions, nil
}
