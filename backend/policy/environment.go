// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// DefaultTTL is a credential's life where neither role nor environment says.
const DefaultTTL = 15 * time.Minute

// Environment is where a token's work takes effect: dev, staging, prod.
type Environment struct {
	Name        string        `json:"-"`
	Description string        `json:"description"`
	TTL         time.Duration `json:"ttl"`
	MaxTTL      time.Duration `json:"max_ttl"`
	// RequiredApprovals holds for every role in it, DestructiveApprovals for those
	// with a destructive permission.
	RequiredApprovals    int      `json:"required_approvals"`
	DestructiveApprovals int      `json:"destructive_approvals"`
	RequireIdentity      bool     `json:"require_identity"`
	BoundClaims          []string `json:"bound_claims"`
	// AllowedStages empty allows all; AllowedRoles are patterns.
	AllowedStages []string `json:"allowed_stages"`
	AllowedRoles  []string `json:"allowed_roles"`
	Production    bool     `json:"production"`
	// Revision is another one with every write.
	Revision string `json:"revision,omitempty"`
}

// CheckEnvironment judges an environment as it is written.
func CheckEnvironment(e *Environment) error {
	if err := checkTTLs(e.TTL, e.MaxTTL); err != nil {
		return err
	}
	if e.RequiredApprovals < 0 {
		return fault.InvalidField("required_approvals", "must be 0 or more")
	}
	if e.DestructiveApprovals < 0 {
		return fault.InvalidField("destructive_approvals", "must be 0 or more")
	}
	if e.Production && e.RequiredApprovals < 1 {
		return fault.InvalidField("required_approvals", "must be at least 1 where production is true; leave it out to get 1, or set production=false")
	}
	if e.Production && !e.RequireIdentity {
		return fault.InvalidField("require_identity", "must be true where production is true; leave it out, or set production=false")
	}
	return nil
}

func checkTTLs(ttl, max time.Duration) error {
	if ttl < 0 {
		return fault.InvalidField("ttl", "must not be negative")
	}
	if max < 0 {
		return fault.InvalidField("max_ttl", "must not be negative")
	}
	if max > 0 && ttl > max {
		return fault.InvalidField("ttl", "%s is longer than max_ttl, %s", ttl, max)
	}
	return nil
}

// ImplyProduction gives a production environment what it implies, where a write
// did not say otherwise; where it did, CheckEnvironment judges what it said.
func (e *Environment) ImplyProduction(identityWritten, approvalsWritten bool) {
	if !e.Production {
		return
	}
	if !identityWritten {
		e.RequireIdentity = true
	}
	if !approvalsWritten {
		e.RequiredApprovals = max(e.RequiredApprovals, 1)
	}
}

// Loosened warns of what held in an environment and no longer does: a write replaces,
// and who leaves a field out may not have meant to open production.
func Loosened(before, after *Environment) []string {
	var lost []string
	for field, looser := range map[string]bool{
		"production":            before.Production && !after.Production,
		"require_identity":      before.RequireIdentity && !after.RequireIdentity,
		"required_approvals":    before.RequiredApprovals > after.RequiredApprovals,
		"destructive_approvals": before.DestructiveApprovals > after.DestructiveApprovals,
		"bound_claims":          len(before.BoundClaims) > 0 && len(after.BoundClaims) == 0,
		"allowed_stages":        len(before.AllowedStages) > 0 && len(after.AllowedStages) == 0,
	} {
		if looser {
			lost = append(lost, field)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	slices.Sort(lost)
	return []string{"looser than before: " + strings.Join(lost, ", ") +
		"; a write replaces, and what it leaves out goes back to its default (PATCH changes single fields)"}
}
