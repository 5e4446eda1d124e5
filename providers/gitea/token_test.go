// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea_test

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func handleOf(value string) providers.Handle {
	return providers.Handle{Value: value, MintedAt: time.Now()}
}

func TestTokenIsNamedAndScoped(t *testing.T) {
	w := newWorld(t)
	g := w.grant(t, "repository=write", "issue=read", "package=read")
	token, _ := mint(t, connect(t, w.settings), g)
	tokens := tokensOf(t, token.Username)
	require.Len(t, tokens, 1)
	require.Equal(t, g.TokenID, tokens[0].Name)
	require.ElementsMatch(t, []string{"write:repository", "read:issue", "read:package"}, tokens[0].Scopes)
	require.ElementsMatch(t, g.Permissions, token.Permissions)
	require.Zero(t, token.ExpiresAt)
}

// What could outlive the lease is out of reach, whatever the role.
func TestTokenCannotMakeTokens(t *testing.T) {
	w := newWorld(t)
	token, _ := mint(t, connect(t, w.settings), w.grant(t, "repository=write", "organization=write", "user=read"))
	path := "/users/" + token.Username + "/tokens"
	in := map[string]any{"name": "forever", "scopes": []string{"all"}}
	require.NotEqual(t, http.StatusOK, statusOf(t, token.Secret, http.MethodPost, path, in))
	key := map[string]string{"title": "forever", "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP"}
	require.Equal(t, http.StatusForbidden, statusOf(t, token.Secret, http.MethodPost, "/user/keys", key))
}

// Two tries with one token id: the first one's answer was lost.
func TestNameThatIsTaken(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	g := w.grant(t, "repository=read")
	first, _ := mint(t, c, g)
	second, handle := mint(t, c, g)
	path := "/repos/" + w.organization + "/web"
	require.Equal(t, http.StatusUnauthorized, statusOf(t, first.Secret, http.MethodGet, path, nil))
	require.Equal(t, http.StatusOK, statusOf(t, second.Secret, http.MethodGet, path, nil))
	require.Len(t, tokensOf(t, second.Username), 1)
	require.NoError(t, c.Revoke(t.Context(), handle))
	require.Empty(t, tokensOf(t, second.Username))
}

func TestLastUsed(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	token, handle := mint(t, c, w.grant(t, "repository=read"))
	used, err := c.LastUsed(t.Context(), handle)
	require.NoError(t, err)
	require.Zero(t, used, "never used")

	require.Eventually(t, func() bool {
		require.Equal(t, http.StatusOK, statusOf(t, token.Secret, http.MethodGet, "/repos/"+w.organization+"/web", nil))
		used, err = c.LastUsed(t.Context(), handle)
		require.NoError(t, err)
		return !used.IsZero()
	}, 10*time.Second, 100*time.Millisecond)
	require.WithinDuration(t, time.Now(), used, time.Minute)
}

func TestFindReadsAllPages(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	g := w.grant(t, "repository=read")
	_, first := mint(t, c, g)
	const more = 60 // Gitea lists 50 at once
	for range more {
		mint(t, c, w.grant(t, "repository=read"))
	}
	found, err := c.Find(t.Context(), g.Mount(), c.Place(g))
	require.NoError(t, err)
	require.Len(t, found, more+1)
	require.Equal(t, first.Value, found[g.TokenID])
}

func TestNarrowedGrantIsRefusedByGitea(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	g := w.grant(t, "repository=read")
	g.Narrowed = true
	_, err := c.Mint(t.Context(), g)
	require.Equal(t, fault.Invalid, fault.KindOf(err), err)
	require.ErrorContains(t, err, "repositories: ")
	require.NoError(t, c.Verify(t.Context()))
	require.Equal(t, fault.Invalid, fault.KindOf(c.Check(g)))
}

// loser carries out every request and loses the answer to the k-th.
type loser struct {
	next http.RoundTripper
	k, n int
}

func (l *loser) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	l.n++
	if l.n == l.k {
		return nil, io.ErrUnexpectedEOF
	}
	return resp, nil
}

// Wherever the first Mint of a role breaks off, the next one ends well, and there
// is one token.
func TestFirstMintThatBreaksOff(t *testing.T) {
	w := newWorld(t)
	whole := *w.settings.Client
	subject := w.subject
	requests := 0
	for k := 1; requests == 0; k++ {
		require.Less(t, k, 50)
		w.subject = subject + itoa(int64(k))
		g := w.grant(t, "repository=write")
		broken := whole
		l := &loser{next: whole.Transport, k: k}
		broken.Transport = l
		w.settings.Client = &broken
		_, err := connect(t, w.settings).Mint(t.Context(), g)
		if err == nil {
			requests = l.n
			continue
		}
		require.Equal(t, fault.Unavailable, fault.KindOf(err), "request %d: %v", k, err)

		w.settings.Client = &whole
		token, _ := mint(t, connect(t, w.settings), g)
		require.Len(t, tokensOf(t, token.Username), 1, "request %d", k)
		require.True(t, profileOf(t, token.Username).Restricted)
		err = server.API(t.Context(), http.MethodPost, "/user/repos?sudo="+token.Username, map[string]string{"name": "mine"}, nil)
		require.ErrorContains(t, err, "status 4", "request %d: the account has no limits", k)
	}
	require.Greater(t, requests, 7, "that was no first Mint")
}
