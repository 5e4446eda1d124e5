// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package providertest is the contract of package providers as a test suite that
// each provider passes.
//
// A provider's test fills in a Harness and calls Run. The suite talks to the
// provider through a client of its own, which counts the requests, falsifies
// answers and cancels at any step; what it sees of secrets on the wire it looks
// for in every error and every log line afterwards.
package providertest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
)

// Harness is what a provider's test fills in.
type Harness struct {
	Platform providers.Platform
	// NewSite makes the platform, simulated or real, for one case. No other case
	// sees it; it is torn down with t.
	NewSite func(t *testing.T) Site
}

// Site is a platform as one case sees it.
type Site struct {
	// Settings are valid for the site. The suite wraps Client (one made by package
	// transport where nil) and puts in its own Logger; Now defaults to time.Now.
	Settings providers.Settings
	// Grant is a valid one. TokenID is given by the suite, and ExpiresAt where it
	// is zero.
	Grant providers.Grant
	// Narrower is valid too and allows less than Grant.
	Narrower providers.Grant
	// Refused is right in its shape, but the platform says no to it: a permission
	// that our credential does not have, a repository that does not exist. Error
	// kind Refused.
	Refused providers.Grant
	// IsLive asks the platform whether a token works at this moment.
	IsLive func(t *testing.T, secret string) bool
	// CountLive is how many tokens made through the site's settings are live.
	CountLive func(t *testing.T) int
	// NeverExpires says that the platform ends no token by itself: ExpiresAt is
	// zero then, and never otherwise.
	NeverExpires bool
	// Tampers are ways in which the platform's answers can differ from what was
	// asked. Platforms whose answers do not say what was granted have none.
	Tampers []Tamper
	// Secrets are further strings that must appear in no error and no log line.
	// The values of secret fields and everything sent as authentication are found
	// by the suite itself.
	Secrets []string
}

// Tamper makes the platform answer that it granted something else.
type Tamper struct {
	Name string
	// Method is the request's whose answers are falsified.
	Method string
	// Rewrite gives the falsified body of an answer.
	Rewrite func(body []byte) []byte
	// Check judges what Mint made of it.
	Check func(t *testing.T, token *providers.Token, err error)
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Run("Declaration", func(t *testing.T) { testDeclaration(t, h) })
	cases := []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"BaseURL", testBaseURL},
		{"Verify", testVerify},
		{"CheckDoesNoIO", testCheck},
		{"MintAndRevoke", testMintAndRevoke},
		{"NarrowerGrant", testNarrower},
		{"EmptyGrant", testEmptyGrant},
		{"UnknownPermission", testUnknownPermission},
		{"RefusedGrant", testRefused},
		{"Tampers", testTampers},
		{"RevokeIsIdempotent", testRevokeIdempotent},
		{"RevokeNeverGuesses", testRevokeNeverGuesses},
		{"FaultsWhileVerifying", testVerifyFaults},
		{"FaultsWhileMinting", testMintFaults},
		{"FaultsWhileRevoking", testRevokeFaults},
		{"GarbageAnswers", testGarbage},
		{"CancelMint", testCancelMint},
		{"CancelRevoke", testCancelRevoke},
		{"Deadline", testDeadline},
		{"HundredAtOnce", testHundred},
		{"Finder", testFinder},
		{"LostAnswer", testLostAnswer},
		{"Retirer", testRetirer},
		{"Rotator", testRotator},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, h)
			c.run(t, b)
			b.secrets.assertKept(t)
		})
	}
}

// bench is one case's site with the suite's instruments around it.
type bench struct {
	platform providers.Platform
	site     Site
	settings providers.Settings
	wire     *wire
	secrets  *secrets
	names    atomic.Int64
}

func newBench(t *testing.T, h Harness) *bench {
	t.Helper()
	site := h.NewSite(t)
	require.NotNil(t, site.IsLive, "Site.IsLive")
	require.NotNil(t, site.CountLive, "Site.CountLive")
	b := &bench{platform: h.Platform, site: site, secrets: newSecrets(h.Platform, site)}
	b.settings, b.wire = instrument(t, site.Settings, b.secrets)
	return b
}

// connect makes a fresh connection.
func (b *bench) connect(t *testing.T) providers.Connection {
	t.Helper()
	c, err := b.platform.Connect(b.settings)
	require.NoError(t, err)
	return c
}

// grant makes a site's grant ready to be minted, with a name that no other has.
func (b *bench) grant(c providers.Connection, g providers.Grant) providers.Grant {
	if _, ok := c.(providers.Finder); ok {
		g.TokenID = fmt.Sprintf("%s-%024x", b.settings.Now().UTC().Format("2006010215"), b.names.Add(1))
	}
	if g.Subject == "" {
		g.Subject = "providertest/role"
	}
	if g.ExpiresAt.IsZero() {
		g.ExpiresAt = b.settings.Now().Add(15 * time.Minute).Truncate(time.Second)
	}
	return g
}

// mint makes a token of the site's grant.
func (b *bench) mint(t *testing.T, c providers.Connection) (*providers.Token, providers.Handle) {
	t.Helper()
	token, err := b.tryMint(t.Context(), c, b.grant(c, b.site.Grant))
	require.NoError(t, err)
	require.NotNil(t, token)
	return token, providers.Handle{Value: token.Handle, MintedAt: b.settings.Now()}
}

// tryMint mints and keeps what must stay secret and what was said.
func (b *bench) tryMint(ctx context.Context, c providers.Connection, g providers.Grant) (*providers.Token, error) {
	token, err := c.Mint(ctx, g)
	b.secrets.said(err)
	if token != nil {
		b.secrets.add(token.Secret)
	}
	return token, err
}

func (b *bench) revoke(ctx context.Context, c providers.Connection, h providers.Handle) error {
	err := c.Revoke(ctx, h)
	b.secrets.said(err)
	return err
}

// old is the handle of a token that has long reached all the platform's servers.
func old(h providers.Handle) providers.Handle {
	h.MintedAt = h.MintedAt.Add(-10 * time.Minute)
	return h
}

// patience is how long the suite waits for what a provider does by itself after
// its method has returned.
const patience = 15 * time.Second

// requireNothingLive waits until no token is live, after killing those that a
// Finder finds.
func (b *bench) requireNothingLive(t *testing.T, c providers.Connection, g providers.Grant, why string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if finder, ok := c.(providers.Finder); ok {
		found, err := finder.Find(ctx, g.Mount(), finder.Place(g))
		b.secrets.said(err)
		require.NoError(t, err, why)
		for id, handle := range found {
			err := b.revoke(ctx, c, providers.Handle{Value: handle, MintedAt: b.settings.Now()})
			require.NoError(t, err, "%s: revoking %s", why, id)
		}
	}
	require.Eventually(t, func() bool { return b.site.CountLive(t) == 0 }, patience, 20*time.Millisecond,
		"%s: a token is still live", why)
}
