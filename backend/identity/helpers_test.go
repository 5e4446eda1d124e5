// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// clock is a time that only the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

// claimsOf makes claims of what a token would hold.
func claimsOf(t testing.TB, values any) identity.Claims {
	t.Helper()
	text, err := json.Marshal(values)
	require.NoError(t, err)
	claims, err := identity.ParseClaims(text)
	require.NoError(t, err)
	return claims
}

func bound(t testing.TB, list ...string) identity.Bound {
	t.Helper()
	b, err := identity.ParseBound("bound_claims", list)
	require.NoError(t, err)
	return b
}

// discovering is an issuer's definition that finds the keys by discovery.
func discovering(issuer *identitytest.Issuer) identity.Issuer {
	return identity.Issuer{
		Name:         "local",
		Preset:       identity.GitHubActions,
		DiscoveryURL: issuer.URL(),
		Audiences:    []string{"https://vault.example.com"},
		CACert:       issuer.CACert(),
	}
}

func verifier(t testing.TB, definition identity.Issuer, o identity.Options) *identity.Verifier {
	t.Helper()
	v, err := identity.NewVerifier(definition, o)
	require.NoError(t, err)
	return v
}

// requireFault checks an error's kind and words, and that it is fit to be shown.
func requireFault(t testing.TB, err error, kind fault.Kind, words string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind.String(), fault.KindOf(err).String(), err.Error())
	require.Contains(t, err.Error(), words)
	require.NotContains(t, strings.ToLower(err.Error()), "invalid token")
}

// requireSilent checks that an error holds no part of a token.
func requireSilent(t testing.TB, err error, token string) {
	t.Helper()
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 16 {
			require.NotContains(t, err.Error(), part)
		}
	}
}
