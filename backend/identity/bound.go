// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/glob"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Bound is what a role or an environment asks of a job's claims. Different claims
// must all match; several patterns for one claim are alternatives. The zero value
// asks nothing.
type Bound struct {
	claims []boundClaim
}

type boundClaim struct {
	name     string
	patterns []glob.Pattern
}

// claimName is what a claim may be called: some issuers use URLs.
var claimName = regexp.MustCompile(`\A[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,254}\z`)

// ParseBound reads a list of `claim=pattern`. Its errors are fault.Invalid for the
// given field.
func ParseBound(field string, list []string) (Bound, error) {
	var b Bound
	for _, s := range list {
		name, text, found := strings.Cut(s, "=")
		if !found {
			return Bound{}, fault.InvalidField(field, "%s is not claim=pattern, such as ref=refs/heads/main", show(s))
		}
		if !claimName.MatchString(name) {
			return Bound{}, fault.InvalidField(field, "%s: a claim's name is letters, digits and _ . : / -, without spaces, such as repository", show(s))
		}
		p, err := glob.Parse(text)
		if err != nil {
			return Bound{}, fault.InvalidField(field, "%s: %w", show(s), err)
		}
		b.add(name, p)
	}
	return b, nil
}

func (b *Bound) add(name string, p glob.Pattern) {
	i := slices.IndexFunc(b.claims, func(c boundClaim) bool { return c.name == name })
	if i < 0 {
		b.claims = append(b.claims, boundClaim{name: name, patterns: []glob.Pattern{p}})
		return
	}
	b.claims[i].patterns = append(b.claims[i].patterns, p)
}

// Empty reports whether nothing is asked.
func (b Bound) Empty() bool { return len(b.claims) == 0 }

// Match reports whether the claims are what is asked. Where they are not, why says
// for each claim that fails what it is and what is allowed.
func (b Bound) Match(claims Claims) (ok bool, why string) {
	var failed []string
	for _, c := range b.claims {
		if !c.match(claims) {
			failed = append(failed, "claim "+c.name+" "+claims.describe(c.name)+"; allowed: "+showAll(c.texts()))
		}
	}
	return len(failed) == 0, strings.Join(failed, "; ")
}

func (c boundClaim) match(claims Claims) bool {
	value, ok := claims.Text(c.name)
	return ok && slices.ContainsFunc(c.patterns, func(p glob.Pattern) bool { return p.Match(value) })
}

func (c boundClaim) texts() []string {
	list := make([]string, len(c.patterns))
	for i, p := range c.patterns {
		list[i] = p.String()
	}
	return list
}

// pinsOwner reports whether one of the named claims can only be that of one
// owner. Patterns of a claim are alternatives, so each of them has to pin.
func (b Bound) pinsOwner(names []string) bool {
	return slices.ContainsFunc(b.claims, func(c boundClaim) bool {
		return slices.Contains(names, c.name) &&
			!slices.ContainsFunc(c.patterns, func(p glob.Pattern) bool { return !pinsOwner(p.String()) })
	})
}

// pinsOwner reports whether everything that matches belongs to one owner: the
// pattern has no wildcard, or a slash closes its first segment before the first
// one. acme/* pins; acme* does not, since anybody can register acme-evil.
func pinsOwner(pattern string) bool {
	star := strings.IndexByte(pattern, '*')
	return star < 0 || strings.IndexByte(pattern[:star], '/') > 0
}
