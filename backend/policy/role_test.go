// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func TestARoleAsItIsWritten(t *testing.T) {
	for _, c := range []struct {
		name string
		role *Role
		says string
	}{
		{"reads its repository", webRole(), ""},
		{"under the ceiling", webRole(func(r *Role) { r.Permissions = []string{"checks=read"} }), ""},
		{"at the ceiling", webRole(func(r *Role) { r.Permissions = []string{"checks=write"} }), ""},
		{"over the ceiling", webRole(func(r *Role) { r.Permissions = []string{"contents=write"} }), "contents=write (at most contents=read)"},
		{"beside the ceiling", webRole(func(r *Role) { r.Permissions = []string{"packages=read"} }), "packages=read (not allowed at all)"},
		{"twice over", webRole(func(r *Role) { r.Permissions = []string{"contents=admin", "issues=write"} }), "contents=admin (at most contents=read), issues=write (not allowed at all)"},
		{"what no platform has", webRole(func(r *Role) { r.Permissions = []string{"unicorns=read"} }), "no unicorns"},
		{"no permissions", webRole(func(r *Role) { r.Permissions = nil }), "none never means all"},
		{"no repositories", webRole(func(r *Role) { r.Repositories = nil }), "none never means all"},
		{"nobody's", webRole(func(r *Role) { r.Owner = " " }), "owner: is required"},
		{"for nothing", webRole(func(r *Role) { r.Purpose = "" }), "purpose: is required"},
		{"less than no approvals", webRole(func(r *Role) { r.RequiredApprovals = -1 }), "required_approvals"},
		{"less than no tokens", webRole(func(r *Role) { r.MaxActive = -1 }), "max_active"},
		{"less than no time", webRole(func(r *Role) { r.TTL = -1 }), "ttl: must not be negative"},
		{"longer than its longest", webRole(func(r *Role) { r.TTL, r.MaxTTL = 2e9, 1e9 }), "longer than max_ttl"},
		{"for one day", webRole(func(r *Role) { r.ValidFrom, r.ValidUntil = "2030-05-06T00:00:00Z", "2030-05-07T00:00:00Z" }), ""},
		{"for no time", webRole(func(r *Role) { r.ValidFrom, r.ValidUntil = "2030-05-06T00:00:00Z", "2030-05-06T00:00:00Z" }), "must be after valid_from"},
		{"until some day", webRole(func(r *Role) { r.ValidUntil = "2030-13-01" }), "not RFC 3339"},
		{"until a local midnight", webRole(func(r *Role) { r.ValidUntil = "2030-05-06T00:00:00+02:00" }), "write it as 2030-05-05T22:00:00Z"},
		{"from a network", webRole(func(r *Role) { r.BoundCIDRs = []string{"10.0.0.0/8", "2001:db8::1"} }), ""},
		{"from somewhere", webRole(func(r *Role) { r.BoundCIDRs = []string{"10.0.0.0/33"} }), "bound_cidrs"},
	} {
		t.Run(c.name, func(t *testing.T) { says(t, CheckRole(c.role, ordinary()), fault.Invalid, c.says) })
	}
	t.Run("a stage without a ceiling for the platform allows nothing", func(t *testing.T) {
		empty := ordinary(func(s *Surroundings) { s.Stage = &Stage{Name: "own"} })
		says(t, CheckRole(webRole(), empty), fault.Invalid, "contents=read (not allowed at all)")
	})
}

func TestHowManyMustApprove(t *testing.T) {
	destructive := func(r *Role) { r.Permissions = []string{"administration=write"} }
	for _, c := range []struct {
		name        string
		role        *Role
		environment Environment
		required    int
	}{
		{"nobody, where nobody says", webRole(), Environment{DestructiveApprovals: 1}, 0},
		{"as many as the role says", webRole(func(r *Role) { r.RequiredApprovals = 2 }), Environment{RequiredApprovals: 1}, 2},
		{"as many as the environment says", webRole(func(r *Role) { r.RequiredApprovals = 1 }), Environment{RequiredApprovals: 3}, 3},
		{"one, where something can be destroyed", webRole(destructive), Environment{DestructiveApprovals: 1}, 1},
		{"more, where the environment says", webRole(destructive), Environment{DestructiveApprovals: 2, RequiredApprovals: 1}, 2},
		{"nobody, where the environment says so", webRole(destructive), Environment{}, 0},
		{"reading destroys nothing", webRole(func(r *Role) { r.Permissions = []string{"administration=read"} }), Environment{DestructiveApprovals: 1}, 0},
		{"what cannot be read counts as the worst", webRole(func(r *Role) { r.Permissions = []string{"???"} }), Environment{DestructiveApprovals: 1}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := ordinary(func(s *Surroundings) { s.Environment = &c.environment })
			require.Equal(t, c.required, RequiredApprovals(c.role, s))
		})
	}
}

func TestAnEnvironmentAsItIsWritten(t *testing.T) {
	for _, c := range []struct {
		name        string
		environment Environment
		says        string
	}{
		{"anything goes", Environment{}, ""},
		{"an hour, up to two", Environment{TTL: 3600e9, MaxTTL: 7200e9}, ""},
		{"two hours, up to one", Environment{TTL: 7200e9, MaxTTL: 3600e9}, "longer than max_ttl"},
		{"less than no approvals", Environment{RequiredApprovals: -1}, "required_approvals"},
		{"less than none to destroy", Environment{DestructiveApprovals: -1}, "destructive_approvals"},
		{"production", Environment{Production: true, RequireIdentity: true, RequiredApprovals: 1}, ""},
		{"production, unapproved", Environment{Production: true, RequireIdentity: true}, "required_approvals: must be at least 1"},
		{"production, unproven", Environment{Production: true, RequiredApprovals: 1}, "require_identity: must be true"},
	} {
		t.Run(c.name, func(t *testing.T) { says(t, CheckEnvironment(&c.environment), fault.Invalid, c.says) })
	}
}

func TestProductionImpliesWhatIsNotWritten(t *testing.T) {
	e := Environment{Production: true}
	e.ImplyProduction(false, false)
	require.Equal(t, Environment{Production: true, RequireIdentity: true, RequiredApprovals: 1}, e)
	e = Environment{Production: true, RequiredApprovals: 3}
	e.ImplyProduction(false, true)
	require.Equal(t, 3, e.RequiredApprovals)
	e = Environment{Production: true}
	e.ImplyProduction(true, true)
	require.Equal(t, Environment{Production: true}, e, "what was written is judged, not mended")
	e = Environment{}
	e.ImplyProduction(false, false)
	require.Equal(t, Environment{}, e)
}
