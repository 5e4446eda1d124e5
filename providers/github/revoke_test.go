// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// rewriting falsifies the answers to one method.
type rewriting struct {
	next    http.RoundTripper
	method  string
	rewrite func([]byte) []byte
}

func (rw *rewriting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := rw.next.RoundTrip(r)
	if err != nil || r.Method != rw.method {
		return resp, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(rw.rewrite(body)))
	return resp, err
}

// TestRevokeOfAYoungToken: a fresh token that GitHub does not know yet is not dead.
func TestRevokeOfAYoungToken(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			clock := newClock()
			w := newWorld(t, githubtest.Options{Now: clock.now, ReplicationDelay: 10 * time.Second, ReplicationStatus: status})
			c := w.connect(t, clock.now)
			token := mustMint(t, c, acmeGrant(t, "contents=read"))
			handle := providers.Handle{Value: token.Handle, MintedAt: clock.now()}
			err := c.Revoke(t.Context(), handle)
			requireFault(t, err, fault.Unproven, "not yet proven dead")
			require.Equal(t, 1, w.Live())
			clock.advance(11 * time.Second)
			require.NoError(t, c.Revoke(t.Context(), handle))
			require.Zero(t, w.Live())
			clock.advance(replicated)
			require.NoError(t, c.Revoke(t.Context(), handle))
		})
	}
}

// TestRevokeWaitsForReplication: one call does, where that takes a moment only.
func TestRevokeWaitsForReplication(t *testing.T) {
	w := newWorld(t, githubtest.Options{ReplicationDelay: 300 * time.Millisecond})
	c := w.connect(t, nil)
	c.pauses = []time.Duration{200 * time.Millisecond, 400 * time.Millisecond}
	token := mustMint(t, c, acmeGrant(t, "contents=read"))
	require.NoError(t, c.Revoke(t.Context(), providers.Handle{Value: token.Handle, MintedAt: time.Now()}))
	require.Zero(t, w.Live())
}

// TestRevokeOfAYoungTokenThatIsGone: somebody else was faster, and one call finds out.
func TestRevokeOfAYoungTokenThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	c := w.connect(t, nil)
	c.pauses = slices.Repeat([]time.Duration{500 * time.Millisecond}, 10)
	token := mustMint(t, c, acmeGrant(t, "contents=read"))
	handle := providers.Handle{Value: token.Handle, MintedAt: time.Now()}
	require.NoError(t, c.Revoke(t.Context(), handle))
	require.NoError(t, c.Revoke(t.Context(), handle))
	require.GreaterOrEqual(t, time.Since(handle.MintedAt), replicated, "it was not believed before")
}

// TestRevokeWhenTheInstallationIsNotThere: uninstalled is dead, suspended is not.
func TestRevokeWhenTheInstallationIsNotThere(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	c := w.connect(t, nil)
	token := mustMint(t, c, acmeGrant(t, "contents=read"))
	handle := providers.Handle{Value: token.Handle, MintedAt: time.Now().Add(-2 * replicated)}
	w.Suspend(w.in.ID)
	requireFault(t, c.Revoke(t.Context(), handle), fault.Unproven, "suspended")
	w.Uninstall(w.in.ID)
	require.NoError(t, c.Revoke(t.Context(), handle))
}

func TestRevokeTakesOnlyNothingForYes(t *testing.T) {
	for status, kind := range map[int]fault.Kind{
		http.StatusOK:       fault.Nonsense,
		http.StatusAccepted: fault.Nonsense,
		http.StatusNotFound: fault.Unproven,
		http.StatusTeapot:   fault.Unproven,
	} {
		c := canned(t, status, nil, `<html>Welcome</html>`)
		err := c.Revoke(t.Context(), providers.Handle{Value: "ghs_something", MintedAt: time.Now().Add(-time.Hour)})
		requireFault(t, err, kind)
	}
	for _, value := range []string{"", "two words", "a\nb", "ü"} {
		requireFault(t, canned(t, 204, nil, "").Revoke(t.Context(), providers.Handle{Value: value}), fault.Invalid)
	}
}
