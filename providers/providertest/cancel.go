// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package providertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// eachCancellation runs a case for each of n requests, cancelled before it leaves
// and after it has been carried out. The case calls start when it is ready; the
// requests count from there, and the context that start returns is the one that
// ends.
func (b *bench) eachCancellation(t *testing.T, n int, run func(t *testing.T, start func() context.Context)) {
	require.Positive(t, n)
	for name, when := range map[string]func(context.CancelFunc) act{"before": cancelBefore, "after": cancelAfter} {
		for k := 1; k <= n; k++ {
			t.Run(fmt.Sprintf("%s request %d", name, k), func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				run(t, func() context.Context {
					b.wire.arm(k, when(cancel))
					return ctx
				})
				b.wire.disarm()
			})
		}
	}
}

// testCancelMint: wherever a Mint is cancelled, no token stays behind that nobody
// knows of.
func testCancelMint(t *testing.T, b *bench) {
	n := b.countMint(t)
	b.eachCancellation(t, n, func(t *testing.T, start func() context.Context) {
		c := b.connect(t)
		g := b.grant(c, b.site.Grant)
		token, err := b.tryMint(start(), c, g)
		b.wire.disarm()
		if err != nil {
			require.Nil(t, token)
			require.Equal(t, fault.Unavailable, fault.KindOf(err), err)
		} else {
			handle := providers.Handle{Value: token.Handle, MintedAt: b.settings.Now()}
			require.NoError(t, b.revoke(t.Context(), c, handle))
		}
		b.requireNothingLive(t, c, g, "cancelled mint")
	})
}

// testDeadline: a platform that does not answer holds nobody longer than the
// context allows.
func testDeadline(t *testing.T, b *bench) {
	b.settings.Client.Timeout = 2 * time.Second
	c := b.connect(t)
	token, handle := b.mint(t, c)
	steps := map[string]func(context.Context, providers.Connection) error{
		"Verify": func(ctx context.Context, c providers.Connection) error { return c.Verify(ctx) },
		"Mint": func(ctx context.Context, c providers.Connection) error {
			_, err := b.tryMint(ctx, c, b.grant(c, b.site.Grant))
			return err
		},
		"Revoke": func(ctx context.Context, c providers.Connection) error { return b.revoke(ctx, c, handle) },
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			c := b.connect(t)
			b.wire.armAll(hang)
			defer b.wire.disarm()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			begin := time.Now()
			err := step(ctx, c)
			b.secrets.said(err)
			require.Less(t, time.Since(begin), 1500*time.Millisecond, "does not obey its context")
			require.Equal(t, fault.Unavailable, fault.KindOf(err), err)
		})
	}
	require.True(t, b.site.IsLive(t, token.Secret))
	require.NoError(t, b.revoke(t.Context(), c, handle))
}
