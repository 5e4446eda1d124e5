// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package providertest

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// testMintAndRevoke: a token lives from Mint to Revoke and says what it is.
func testMintAndRevoke(t *testing.T, b *bench) {
	c := b.connect(t)
	token, handle := b.mint(t, c)
	b.requireComplete(t, token, b.site.Grant)
	require.True(t, b.site.IsLive(t, token.Secret), "the token does not work")
	require.NoError(t, b.revoke(t.Context(), c, handle))
	require.False(t, b.site.IsLive(t, token.Secret), "the token works after Revoke")
	require.Zero(t, b.site.CountLive(t))
}

// requireComplete: everything that a credential shows is there, and the grant is
// neither more nor less than what was asked.
func (b *bench) requireComplete(t *testing.T, token *providers.Token, g providers.Grant) {
	t.Helper()
	require.NotEmpty(t, token.Secret)
	require.NotEmpty(t, token.Handle)
	require.NotEmpty(t, token.Username)
	if b.site.NeverExpires {
		require.Zero(t, token.ExpiresAt)
	} else {
		require.True(t, token.ExpiresAt.After(b.settings.Now()), "expires at %s", token.ExpiresAt)
	}
	require.ElementsMatch(t, lower(g.Repositories), lower(token.Repositories))
	for _, p := range g.Permissions {
		require.True(t, slices.ContainsFunc(token.Permissions, func(got providers.Permission) bool {
			return got.Resource == p.Resource && got.Level == p.Level
		}), "%s was not granted: %v", p, token.Permissions)
	}
}

func lower(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}

// testNarrower: a narrower grant is one of its own and not the wider one's.
func testNarrower(t *testing.T, b *bench) {
	c := b.connect(t)
	wide, wideHandle := b.mint(t, c)
	narrow, err := b.tryMint(t.Context(), c, b.grant(c, b.site.Narrower))
	require.NoError(t, err)
	b.requireComplete(t, narrow, b.site.Narrower)
	require.NotEqual(t, wide.Secret, narrow.Secret)
	require.NoError(t, b.revoke(t.Context(), c, wideHandle))
	require.False(t, b.site.IsLive(t, wide.Secret))
	require.True(t, b.site.IsLive(t, narrow.Secret), "revoking one token killed another")
	handle := providers.Handle{Value: narrow.Handle, MintedAt: b.settings.Now()}
	require.NoError(t, b.revoke(t.Context(), c, handle))
	require.Zero(t, b.site.CountLive(t))
}

// testEmptyGrant: nothing asked means nothing given, never everything.
func testEmptyGrant(t *testing.T, b *bench) {
	c := b.connect(t)
	full := b.grant(c, b.site.Grant)
	for name, empty := range map[string]func(*providers.Grant){
		"no repositories":    func(g *providers.Grant) { g.Repositories = nil },
		"empty repositories": func(g *providers.Grant) { g.Repositories = []string{} },
		"a nameless one":     func(g *providers.Grant) { g.Repositories = []string{""} },
		"no permissions":     func(g *providers.Grant) { g.Permissions = nil },
		"no account":         func(g *providers.Grant) { g.Account = "" },
		"nothing":            func(g *providers.Grant) { g.Repositories, g.Permissions = nil, nil },
	} {
		g := full
		empty(&g)
		token, err := b.tryMint(t.Context(), c, g)
		require.Nil(t, token, name)
		require.Equal(t, fault.Invalid, fault.KindOf(err), "%s: %v", name, err)
	}
	require.Zero(t, b.wire.seen(), "an empty grant was sent to the platform")
	require.Zero(t, b.site.CountLive(t))
}

// testUnknownPermission: refused by the vocabulary or, where that is open, by the
// platform.
func testUnknownPermission(t *testing.T, b *bench) {
	unknown := providers.Permission{Resource: "no_such_resource", Level: providers.Read}
	if err := b.platform.Vocabulary.Check(unknown); err != nil {
		require.Equal(t, fault.Invalid, fault.KindOf(err), err)
	}
	c := b.connect(t)
	g := b.grant(c, b.site.Grant)
	g.Permissions = append(slices.Clone(g.Permissions), unknown)
	token, err := b.tryMint(t.Context(), c, g)
	require.Nil(t, token)
	require.Contains(t, []fault.Kind{fault.Invalid, fault.Refused}, fault.KindOf(err), err)
	require.ErrorContains(t, err, unknown.Resource)
	b.requireNothingLive(t, c, g, "unknown permission")
}

// testRefused: the platform's no is reported as such and leaves nothing behind.
func testRefused(t *testing.T, b *bench) {
	c := b.connect(t)
	g := b.grant(c, b.site.Refused)
	token, err := b.tryMint(t.Context(), c, g)
	require.Nil(t, token)
	require.Equal(t, fault.Refused, fault.KindOf(err), err)
	b.requireNothingLive(t, c, g, "refused grant")
	_, handle := b.mint(t, c)
	require.NoError(t, b.revoke(t.Context(), c, handle), "the connection does not work after a refusal")
}

// testTampers: what the platform says it granted is reported as it said it.
func testTampers(t *testing.T, b *bench) {
	for _, tamper := range b.site.Tampers {
		t.Run(tamper.Name, func(t *testing.T) {
			c := b.connect(t)
			b.wire.armAll(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				if r.Method != tamper.Method {
					return next.RoundTrip(r)
				}
				return rewrite(tamper.Rewrite)(r, next)
			})
			token, err := b.tryMint(t.Context(), c, b.grant(c, b.site.Grant))
			b.wire.disarm()
			tamper.Check(t, token, err)
			if token != nil {
				handle := providers.Handle{Value: token.Handle, MintedAt: b.settings.Now()}
				require.NoError(t, b.revoke(t.Context(), c, handle))
			}
		})
	}
}

// testHundred: any number at once, over one connection.
func testHundred(t *testing.T, b *bench) {
	const n = 100
	c := b.connect(t)
	var wg sync.WaitGroup
	tokens := make([]string, n)
	for i := range n {
		wg.Go(func() {
			token, err := b.tryMint(t.Context(), c, b.grant(c, b.site.Grant))
			if !assert.NoError(t, err) {
				return
			}
			tokens[i] = token.Secret
			handle := providers.Handle{Value: token.Handle, MintedAt: b.settings.Now()}
			assert.NoError(t, b.revoke(t.Context(), c, handle))
		})
	}
	wg.Wait()
	slices.Sort(tokens)
	require.Len(t, slices.Compact(tokens), n, "tokens are not distinct")
	require.Zero(t, b.site.CountLive(t))
}
