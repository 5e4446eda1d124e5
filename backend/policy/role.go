// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Role is who may get what: one stage in one environment, on the repositories of
// one account, with the least permissions that do.
type Role struct {
	Name         string        `json:"-"`
	Config       string        `json:"config"`
	Stage        string        `json:"stage"`
	Environment  string        `json:"environment"`
	Owner        string        `json:"owner"`
	Purpose      string        `json:"purpose"`
	Repositories []string      `json:"repositories"`
	Permissions  []string      `json:"permissions"`
	TTL          time.Duration `json:"ttl"`
	MaxTTL       time.Duration `json:"max_ttl"`
	Issuer       string        `json:"issuer"`
	BoundClaims  []string      `json:"bound_claims"`
	// RequiredApprovals holds where it is larger than the environment's.
	RequiredApprovals int  `json:"required_approvals"`
	SingleUse         bool `json:"single_use"`
	// ValidFrom and ValidUntil are RFC 3339 in UTC as they were written, or empty.
	ValidFrom  string   `json:"valid_from"`
	ValidUntil string   `json:"valid_until"`
	MaxActive  int      `json:"max_active"`
	BoundCIDRs []string `json:"bound_cidrs"`
	Disabled   bool     `json:"disabled"`
	// Revision is another one with every write, so that what rests on the role as it
	// was does not hold again where a change is taken back.
	Revision string `json:"revision,omitempty"`
}

// Surroundings are what a role refers to, as it stands at the time of asking.
type Surroundings struct {
	Platform    providers.Platform
	Stage       *Stage
	Environment *Environment
	Config      ConfigFacts
}

// ConfigFacts are what policy needs to know of a config.
type ConfigFacts struct {
	Name         string
	Account      string
	AllowedRoles []string
}

// CheckRole judges a role as it is written: everything that its read of a
// credential would later be refused for, as far as it can be known now.
func CheckRole(r *Role, s Surroundings) error {
	if err := checkRequired(r); err != nil {
		return err
	}
	if err := checkTTLs(r.TTL, r.MaxTTL); err != nil {
		return err
	}
	if err := checkLimits(r); err != nil {
		return err
	}
	if err := checkPermissions(r, s); err != nil {
		return err
	}
	_, err := ParseRepositories(r.Repositories, s.Config.Account)
	return err
}

func checkRequired(r *Role) error {
	for _, f := range []struct{ name, value, example string }{
		{"config", r.Config, "the name of a config"},
		{"stage", r.Stage, "build, test, release, deploy or one of your own"},
		{"environment", r.Environment, "the name of an environment"},
		{"owner", r.Owner, "the team that answers for this role"},
		{"purpose", r.Purpose, "what the token is for, in a few words"},
	} {
		if strings.TrimSpace(f.value) == "" {
			return fault.InvalidField(f.name, "is required: %s", f.example)
		}
	}
	if len(r.Repositories) == 0 {
		return fault.InvalidField("repositories", "must name at least one repository; none never means all")
	}
	if len(r.Permissions) == 0 {
		return fault.InvalidField("permissions", "must name at least one permission, such as contents=read; none never means all")
	}
	return nil
}

func checkLimits(r *Role) error {
	if r.RequiredApprovals < 0 {
		return fault.InvalidField("required_approvals", "must be 0 or more")
	}
	if r.MaxActive < 0 {
		return fault.InvalidField("max_active", "must be 0 (no limit) or more")
	}
	from, err := parseTime("valid_from", r.ValidFrom)
	if err != nil {
		return err
	}
	until, err := parseTime("valid_until", r.ValidUntil)
	if err != nil {
		return err
	}
	if !from.IsZero() && !until.IsZero() && !from.Before(until) {
		return fault.InvalidField("valid_until", "must be after valid_from")
	}
	_, err = parsePrefixes(r.BoundCIDRs)
	return err
}

func checkPermissions(r *Role, s Surroundings) error {
	permissions, err := providers.ParsePermissions("permissions", r.Permissions)
	if err != nil {
		return err
	}
	for _, p := range permissions {
		if err := s.Platform.Vocabulary.Check(p); err != nil {
			return err
		}
	}
	excess, err := overCeiling(r, s.Stage, s.Platform.Name)
	if err != nil {
		return err
	}
	if excess != "" {
		return fault.InvalidField("permissions", "over the ceiling of stage %q for %s: %s; drop them, or have whoever owns the stage raise it",
			r.Stage, s.Platform.Title, excess)
	}
	return nil
}

// parseTime reads a time as operators write it; an empty string is the zero time.
func parseTime(field, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fault.InvalidField(field, "%q is not RFC 3339, such as 2026-12-31T23:59:59Z", s)
	}
	if _, offset := t.Zone(); offset != 0 {
		return time.Time{}, fault.InvalidField(field, "%q is not in UTC: write it as %s", s, t.UTC().Format(time.RFC3339))
	}
	return t, nil
}

func parsePrefixes(list []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			addr, addrErr := netip.ParseAddr(s)
			if addrErr != nil || addr.Zone() != "" {
				return nil, fault.InvalidField("bound_cidrs", "%q is neither an address nor a range such as 10.1.0.0/16", s)
			}
			addr = addr.Unmap() // as callers' addresses are
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		if prefix.Addr().Is4In6() {
			return nil, fault.InvalidField("bound_cidrs", "%q is an IPv4 range in IPv6's clothes: write it as IPv4", s)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

// Destructive lists the role's permissions that its platform calls destructive.
func Destructive(r *Role, platform providers.Platform) []string {
	permissions, err := providers.ParsePermissions("permissions", r.Permissions)
	if err != nil {
		// An unreadable permission counts as the worst: nothing fails open.
		return r.Permissions
	}
	var destructive []string
	for _, p := range permissions {
		if platform.Vocabulary.Destructive(p) {
			destructive = append(destructive, p.String())
		}
	}
	return destructive
}

// RequiredApprovals is how many people must approve a credential of the role.
func RequiredApprovals(r *Role, s Surroundings) int {
	required := max(r.RequiredApprovals, s.Environment.RequiredApprovals)
	if len(Destructive(r, s.Platform)) > 0 {
		required = max(required, s.Environment.DestructiveApprovals)
	}
	return required
}

// String names the role in messages.
func (r *Role) String() string { return fmt.Sprintf("role %q", r.Name) }
