// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package providertest

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// outage is a way for a platform to be of no help, and how that is reported.
type outage struct {
	name string
	do   act
	kind fault.Kind
	// wait is what the platform asked for; zero where it asked for none.
	wait time.Duration
}

func (o outage) require(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, o.kind, fault.KindOf(err), err)
	if o.kind != fault.Limited {
		return
	}
	if o.wait > 0 {
		require.Equal(t, o.wait, fault.RetryAfter(err), err)
	} else {
		require.Positive(t, fault.RetryAfter(err), "limited, but for how long? %s", err)
	}
}

// outages are those that mean the same whoever asks for whatever.
func outages() []outage {
	const wait = 7
	header := http.Header{"Retry-After": {strconv.Itoa(wait)}}
	return []outage{
		{"500", answer(http.StatusInternalServerError, nil), fault.Unavailable, 0},
		{"502", answer(http.StatusBadGateway, nil), fault.Unavailable, 0},
		{"503", answer(http.StatusServiceUnavailable, nil), fault.Unavailable, 0},
		{"429 with a wait", answer(http.StatusTooManyRequests, header), fault.Limited, wait * time.Second},
		{"429 without", answer(http.StatusTooManyRequests, nil), fault.Limited, 0},
		{"unknown host", fail(&net.DNSError{Err: "no such host", Name: "ci.test", IsNotFound: true}), fault.Unavailable, 0},
		{"refused", fail(&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}), fault.Unavailable, 0},
	}
}

// rejections are the outages and that our credential is not accepted.
func rejections() []outage {
	return append(outages(), outage{"401", answer(http.StatusUnauthorized, nil), fault.Unauthorized, 0})
}

// count is the number of requests that run makes over a fresh connection.
func (b *bench) count(t *testing.T, run func(c providers.Connection)) int {
	t.Helper()
	c := b.connect(t)
	b.wire.disarm()
	run(c)
	n := b.wire.seen()
	require.Positive(t, n)
	return n
}

// countMint is the number of requests that a Mint makes over a fresh connection.
func (b *bench) countMint(t *testing.T) int {
	t.Helper()
	var handle providers.Handle
	n := b.count(t, func(c providers.Connection) { _, handle = b.mint(t, c) })
	require.NoError(t, b.revoke(t.Context(), b.connect(t), handle))
	return n
}

// countRevoke is the number of requests that a Revoke makes.
func (b *bench) countRevoke(t *testing.T) int {
	t.Helper()
	_, handle := b.mint(t, b.connect(t))
	return b.count(t, func(c providers.Connection) { require.NoError(t, b.revoke(t.Context(), c, handle)) })
}

func testVerifyFaults(t *testing.T, b *bench) {
	n := b.count(t, func(c providers.Connection) { require.NoError(t, c.Verify(t.Context())) })
	for _, o := range rejections() {
		t.Run(o.name, func(t *testing.T) {
			for k := 1; k <= n; k++ {
				c := b.connect(t)
				b.wire.arm(k, o.do)
				err := c.Verify(t.Context())
				b.wire.disarm()
				b.secrets.said(err)
				o.require(t, err)
			}
		})
	}
}

// testMintFaults: whichever request of a Mint fails, the error says how, and
// nothing stays behind.
func testMintFaults(t *testing.T, b *bench) {
	n := b.countMint(t)
	for _, o := range rejections() {
		t.Run(o.name, func(t *testing.T) {
			for k := 1; k <= n; k++ {
				c := b.connect(t)
				g := b.grant(c, b.site.Grant)
				b.wire.arm(k, o.do)
				token, err := b.tryMint(t.Context(), c, g)
				b.wire.disarm()
				require.Nil(t, token, "request %d", k)
				o.require(t, err)
				b.requireNothingLive(t, c, g, o.name)
			}
		})
	}
}

// testGarbage: an answer that makes no sense is never taken for a token.
func testGarbage(t *testing.T, b *bench) {
	n := b.countMint(t)
	for _, garbage := range []string{"<html>Sign in</html>", "{", "null", "[]", "{}", `""`, `{"token":7,"sha1":7,"id":"x"}`} {
		t.Run(garbage, func(t *testing.T) {
			var kinds []fault.Kind
			for k := 1; k <= n; k++ {
				kinds = append(kinds, b.garbageMint(t, k, garbage))
			}
			require.Contains(t, kinds, fault.Nonsense, "no answer of Mint's requests is looked at")
		})
	}
	t.Run("Verify", func(t *testing.T) {
		c := b.connect(t)
		b.wire.arm(1, rewrite(func([]byte) []byte { return []byte("<html>Sign in</html>") }))
		err := c.Verify(t.Context())
		b.wire.disarm()
		b.secrets.said(err)
		require.Equal(t, fault.Nonsense, fault.KindOf(err), err)
	})
}

// garbageMint mints with garbage for the k-th answer and returns what kind of
// error came of it. An answer that the provider does not need may well be garbage.
func (b *bench) garbageMint(t *testing.T, k int, garbage string) fault.Kind {
	t.Helper()
	c := b.connect(t)
	g := b.grant(c, b.site.Grant)
	b.wire.arm(k, rewrite(func(body []byte) []byte {
		if len(body) == 0 {
			return body
		}
		return []byte(garbage)
	}))
	token, err := b.tryMint(t.Context(), c, g)
	b.wire.disarm()
	if err == nil {
		require.True(t, b.site.IsLive(t, token.Secret), "request %d: garbage was taken for a token", k)
		require.NoError(t, b.revoke(t.Context(), c, providers.Handle{Value: token.Handle, MintedAt: b.settings.Now()}))
	} else {
		require.Nil(t, token)
		require.True(t, slices.Contains([]fault.Kind{fault.Nonsense, fault.Refused}, fault.KindOf(err)), "request %d: %v", k, err)
	}
	if _, ok := c.(providers.Finder); ok {
		b.requireNothingLive(t, c, g, "garbage answer")
	}
	return fault.KindOf(err)
}
