// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package providertest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
)

// testRevokeIdempotent: dead is dead, however often it is said, over whatever
// connection.
func testRevokeIdempotent(t *testing.T, b *bench) {
	c := b.connect(t)
	token, handle := b.mint(t, c)
	require.NoError(t, b.revoke(t.Context(), c, handle))
	for range 2 {
		require.NoError(t, b.revoke(t.Context(), c, old(handle)))
		require.NoError(t, b.revoke(t.Context(), b.connect(t), old(handle)))
	}
	require.False(t, b.site.IsLive(t, token.Secret))
}

// testRevokeNeverGuesses: a handle that names nothing is not a token that is dead.
func testRevokeNeverGuesses(t *testing.T, b *bench) {
	c := b.connect(t)
	token, handle := b.mint(t, c)
	require.Error(t, b.revoke(t.Context(), c, old(providers.Handle{MintedAt: handle.MintedAt})))
	require.True(t, b.site.IsLive(t, token.Secret))
	require.NoError(t, b.revoke(t.Context(), c, handle))
}

// testRevokeFaults: a failed Revoke says why, and the token can still be killed.
func testRevokeFaults(t *testing.T, b *bench) {
	n := b.countRevoke(t)
	for _, o := range outages() {
		t.Run(o.name, func(t *testing.T) {
			for k := 1; k <= n; k++ {
				c := b.connect(t)
				token, handle := b.mint(t, c)
				b.wire.arm(k, o.do)
				err := b.revoke(t.Context(), c, handle)
				b.wire.disarm()
				if err == nil {
					require.False(t, b.site.IsLive(t, token.Secret), "request %d: success, but the token lives", k)
				} else {
					o.require(t, err)
				}
				require.NoError(t, b.revoke(t.Context(), c, old(handle)), "request %d: cannot be revoked afterwards", k)
				require.False(t, b.site.IsLive(t, token.Secret))
			}
		})
	}
}

// testCancelRevoke: a Revoke that was cancelled anywhere can be done again.
func testCancelRevoke(t *testing.T, b *bench) {
	n := b.countRevoke(t)
	b.eachCancellation(t, n, func(t *testing.T, start func() context.Context) {
		c := b.connect(t)
		token, handle := b.mint(t, c)
		err := b.revoke(start(), c, handle)
		b.wire.disarm()
		if err == nil {
			require.False(t, b.site.IsLive(t, token.Secret), "success, but the token lives")
		}
		require.NoError(t, b.revoke(t.Context(), c, old(handle)))
		require.False(t, b.site.IsLive(t, token.Secret))
	})
}
