// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func TestTheStandingGates(t *testing.T) {
	for _, c := range []struct {
		name string
		role *Role
		in   Surroundings
		shut string // the one gate that is shut
		says string
	}{
		{"an ordinary role", webRole(), ordinary(), "", ""},
		{"a disabled one", webRole(func(r *Role) { r.Disabled = true }), ordinary(), "enabled", "its owner (team-web) can write disabled=false"},
		{"from tomorrow on", webRole(func(r *Role) { r.ValidFrom = "2030-05-07T00:00:00Z" }), ordinary(), "validity", "is valid from"},
		{"from this second on", webRole(func(r *Role) { r.ValidFrom = "2030-05-06T07:08:09Z" }), ordinary(), "", ""},
		{"until this second", webRole(func(r *Role) { r.ValidUntil = "2030-05-06T07:08:09Z" }), ordinary(), "validity", "was valid until"},
		{"until the next second", webRole(func(r *Role) { r.ValidUntil = "2030-05-06T07:08:10Z" }), ordinary(), "", ""},
		{"until nobody knows when", webRole(func(r *Role) { r.ValidUntil = "soon" }), ordinary(), "validity", "not RFC 3339"},
		{"a config for others", webRole(), ordinary(func(s *Surroundings) { s.Config.AllowedRoles = []string{"deploy-*"} }), "config", "allowed_roles"},
		{"a config for its like", webRole(), ordinary(func(s *Surroundings) { s.Config.AllowedRoles = []string{"we*"} }), "", ""},
		{"a config for names that hold it", webRole(), ordinary(func(s *Surroundings) { s.Config.AllowedRoles = []string{"we", "*eb?", "eb"} }), "config", "allowed_roles"},
		{"a config for none", webRole(), ordinary(func(s *Surroundings) { s.Config.AllowedRoles = nil }), "config", "allowed_roles"},
		{"a stage that is gone", webRole(), ordinary(func(s *Surroundings) { s.Stage = nil }), "stage", `"build" is no more`},
		{"a ceiling that was lowered", webRole(), ordinary(func(s *Surroundings) { s.Stage = &Stage{Ceilings: map[string][]string{"forge": {"checks=write"}}} }), "stage", "contents=read (not allowed at all)"},
		{"a ceiling that cannot be read", webRole(), ordinary(func(s *Surroundings) { s.Stage = &Stage{Ceilings: map[string][]string{"forge": {"all"}}} }), "stage", "resource=level"},
		{"an environment that is gone", webRole(), ordinary(func(s *Surroundings) { s.Environment = nil }), "environment", `"dev" is no more`},
		{"one for other stages", webRole(), ordinary(func(s *Surroundings) { s.Environment.AllowedStages = []string{"deploy"} }), "environment", `does not allow stage "build", only deploy`},
		{"one for other roles", webRole(), ordinary(func(s *Surroundings) { s.Environment.AllowedRoles = []string{"deploy-*"} }), "environment", "allowed_roles"},
		{"one that wants proof", webRole(), ordinary(func(s *Surroundings) { s.Environment.RequireIdentity = true }), "environment", "has no issuer"},
		{"production without proof", webRole(), ordinary(func(s *Surroundings) { s.Environment.Production = true }), "environment", "has no issuer"},
		{"claims of the environment, nobody to vouch", webRole(), ordinary(func(s *Surroundings) { s.Environment.BoundClaims = []string{"ref=main"} }), "environment", "no issuer to vouch"},
		{"claims of the role, nobody to vouch", webRole(func(r *Role) { r.BoundClaims = []string{"ref=main"} }), ordinary(), "environment", "no issuer to vouch"},
		{"claims and an issuer", webRole(func(r *Role) { r.BoundClaims, r.Issuer = []string{"ref=main"}, "ci" }), ordinary(), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			gates := StandingGates(c.role, c.in, today)
			says(t, FirstShut(gates), fault.Denied, c.says)
			for _, g := range gates {
				require.Equal(t, g.Name == c.shut, g.Err != nil, "gate %s: %v", g.Name, g.Err)
			}
		})
	}
}

func TestWhereACallerComesFrom(t *testing.T) {
	bound := webRole(func(r *Role) { r.BoundCIDRs = []string{"10.1.0.0/16", "192.0.2.7", "2001:db8::/32"} })
	for _, c := range []struct{ address, says string }{
		{"10.1.2.3", ""},
		{"192.0.2.7", ""},
		{"2001:db8::5", ""},
		{"::ffff:10.1.2.3", ""},
		{"10.2.0.1", "10.2.0.1 is outside"},
		{"192.0.2.8", "outside"},
		{"", "is not known"},
		{"localhost", "is not known"},
	} {
		t.Run(c.address, func(t *testing.T) { says(t, CallerAddress(bound, c.address), fault.Denied, c.says) })
	}
	says(t, CallerAddress(webRole(), ""), fault.Denied, "")
	unreadable := webRole(func(r *Role) { r.BoundCIDRs = []string{"anywhere"} })
	says(t, CallerAddress(unreadable, "10.1.2.3"), fault.Denied, "neither an address nor a range")
}

func TestTheLeaseIsTheLeastOfAllCaps(t *testing.T) {
	const minute = time.Minute
	for _, c := range []struct {
		name     string
		role     Role
		in       Environment
		asked    time.Duration
		limits   Limits
		ttl, max time.Duration
		warns    string
	}{
		{"nobody says", Role{}, Environment{}, 0, Limits{Mount: 24 * time.Hour}, 15 * minute, 24 * time.Hour, ""},
		{"the environment says", Role{}, Environment{TTL: 5 * minute, MaxTTL: 9 * minute}, 0, Limits{}, 5 * minute, 9 * minute, ""},
		{"the role says more than the environment's first life", Role{TTL: 7 * minute}, Environment{TTL: 5 * minute}, 0, Limits{Mount: 24 * time.Hour}, 7 * minute, 24 * time.Hour, ""},
		{"the caller asks for less", Role{TTL: 7 * minute}, Environment{}, minute, Limits{Mount: time.Hour}, minute, time.Hour, ""},
		{"the caller asks for more", Role{TTL: 7 * minute}, Environment{}, time.Hour, Limits{Mount: time.Hour}, 7 * minute, time.Hour, "1h0m0s was asked"},
		{"the role's most", Role{MaxTTL: 3 * minute}, Environment{}, 0, Limits{Mount: time.Hour}, 3 * minute, 3 * minute, "max_ttl of role"},
		{"the environment's most", Role{TTL: time.Hour}, Environment{MaxTTL: 2 * minute}, 0, Limits{Mount: time.Hour}, 2 * minute, 2 * minute, `max_ttl of environment "dev"`},
		{"the mount's most", Role{TTL: time.Hour}, Environment{}, 0, Limits{Mount: 4 * minute}, 4 * minute, 4 * minute, "max_lease_ttl"},
		{"the platform's most", Role{TTL: 2 * time.Hour}, Environment{}, 0, Limits{Mount: 24 * time.Hour, Platform: time.Hour}, time.Hour, time.Hour, "the platform gives the token"},
		{"the role's end", Role{ValidUntil: "2030-05-06T07:09:09Z"}, Environment{}, 0, Limits{Mount: time.Hour}, minute, minute, "valid_until"},
		{"whole seconds", Role{}, Environment{}, 0, Limits{Mount: 90*time.Second + 700*time.Millisecond}, 90 * time.Second, 90 * time.Second, "capped"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.role.Name, c.in.Name = "web", "dev"
			lease, err := Cap(&c.role, &c.in, c.asked, c.limits, today)
			require.NoError(t, err)
			require.Equal(t, c.ttl, lease.TTL)
			require.Equal(t, c.max, lease.MaxTTL)
			if c.warns == "" {
				require.Empty(t, lease.Warnings)
				return
			}
			require.Len(t, lease.Warnings, 1)
			require.Contains(t, lease.Warnings[0], c.warns)
		})
	}
	t.Run("each cap that cuts is said", func(t *testing.T) {
		lease, err := Cap(&Role{Name: "web", TTL: time.Hour, MaxTTL: 30 * minute}, &Environment{MaxTTL: 20 * minute}, 2*time.Hour, Limits{Mount: 10 * minute}, today)
		require.NoError(t, err)
		require.Equal(t, 10*minute, lease.TTL)
		require.Len(t, lease.Warnings, 4)
	})
	t.Run("nothing is left", func(t *testing.T) {
		_, err := Cap(&Role{Name: "web", ValidUntil: "2030-05-06T07:08:09Z"}, &Environment{}, 0, Limits{Mount: time.Hour}, today)
		require.True(t, fault.Is(err, fault.Denied), err)
		_, err = Cap(&Role{Name: "web"}, &Environment{}, 0, Limits{Mount: 500 * time.Millisecond}, today)
		says(t, err, fault.Denied, "less than a second")
	})
}

func TestWhenARenewedLeaseEnds(t *testing.T) {
	issued := today
	now := issued.Add(10*time.Minute + 300*time.Millisecond)
	for _, c := range []struct {
		name           string
		increment, ttl time.Duration
		end            time.Duration // after the issue
	}{
		{"by the engine's TTL", 0, 5 * time.Minute, 15 * time.Minute},
		{"by what the client asked", 2 * time.Minute, 5 * time.Minute, 12 * time.Minute},
		{"never past issue plus MaxTTL", time.Hour, 5 * time.Minute, 30 * time.Minute},
		{"nor by the engine's TTL", 0, time.Hour, 30 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, issued.Add(c.end), Renewed(now, issued, c.increment, c.ttl, 30*time.Minute))
		})
	}
}
