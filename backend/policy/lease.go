// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Lease is how long a credential lives at first and how long it can be prolonged.
type Lease struct {
	TTL, MaxTTL time.Duration
	// Warnings say which cap cut what was asked or set.
	Warnings []string
}

// Limits are the caps on a lease that neither role nor environment sets.
type Limits struct {
	// Mount is the least of the mount's and the system's max_lease_ttl.
	Mount time.Duration
	// Platform is how long the token lives at the platform; zero where it never
	// ends by itself.
	Platform time.Duration
}

// Cap computes the lease: the least of what was asked (zero: nothing), the role's,
// the environment's, the mount's and the platform's, in whole seconds.
func Cap(r *Role, e *Environment, asked time.Duration, limits Limits, now time.Time) (Lease, error) {
	lease := Lease{TTL: r.TTL}
	if lease.TTL == 0 {
		lease.TTL = e.TTL
	}
	if lease.TTL == 0 {
		lease.TTL = DefaultTTL
	}
	switch {
	case asked > 0 && asked <= lease.TTL:
		lease.TTL = asked
	case asked > 0:
		lease.warn("ttl: %s was asked, %s allows %s", asked, r, lease.TTL)
	}
	left, err := validity(r, now)
	if err != nil {
		return Lease{}, err
	}
	for _, limit := range []struct {
		of   string
		what any
		most time.Duration
	}{
		{"max_ttl of %s", r, r.MaxTTL},
		{"max_ttl of environment %q", e.Name, e.MaxTTL},
		{"%s", "max_lease_ttl of the mount or the system", limits.Mount},
		{"%s", "valid_until of the role", left},
		{"%s", "end that the platform gives the token", limits.Platform},
	} {
		lease.cap(limit.of, limit.what, limit.most)
	}
	lease.TTL, lease.MaxTTL = lease.TTL.Truncate(time.Second), lease.MaxTTL.Truncate(time.Second)
	if lease.TTL < time.Second || lease.MaxTTL < time.Second {
		return Lease{}, fault.New(fault.Denied, "ttl: less than a second is left for %s", r)
	}
	return lease, nil
}

// cap applies one limit; zero is none. It is named only where it is felt.
func (l *Lease) cap(of string, what any, most time.Duration) {
	if most == 0 {
		return
	}
	if l.TTL > most {
		l.warn("ttl: capped from %s to %s by the %s", l.TTL, most.Truncate(time.Second), fmt.Sprintf(of, what))
		l.TTL = most
	}
	if l.MaxTTL == 0 || l.MaxTTL > most {
		l.MaxTTL = most
	}
}

func (l *Lease) warn(format string, args ...any) {
	l.Warnings = append(l.Warnings, fmt.Sprintf(format, args...))
}

// validity is how long the role is still valid; zero where it has no end.
func validity(r *Role, now time.Time) (time.Duration, error) {
	until, err := parseTime("valid_until", r.ValidUntil)
	if err != nil || until.IsZero() {
		return 0, err
	}
	if left := until.Sub(now); left > 0 {
		return left, nil
	}
	return 0, valid(r, now)
}

// Renewed is when a lease ends after a renewal, by the formula with which Vault
// computes it: the increment, or else the TTL that the engine answers with, from
// now on, but never past issue plus MaxTTL. Vault counts in whole seconds.
func Renewed(now, issued time.Time, increment, ttl, maxTTL time.Duration) time.Time {
	now, issued = now.Truncate(time.Second), issued.Truncate(time.Second)
	if increment > 0 {
		ttl = increment
	}
	if last := issued.Add(maxTTL); now.Add(ttl).After(last) {
		return last
	}
	return now.Add(ttl)
}
