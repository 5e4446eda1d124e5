// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// TestSuccessors: a token with the whole API can rotate itself; what came of it
// dies with it.
func TestSuccessors(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.token)
	g := grant(t, "api=write")
	g.TokenID = "2026031422-ffffffffffffffffffffffff"
	neighbour, err := c.Mint(t.Context(), g)
	require.NoError(t, err)
	token, handle := mint(t, c, "api=write")
	require.Equal(t, http.StatusOK, w.ask(t, http.MethodPost, "/personal_access_tokens/self/rotate", token.Secret))
	require.False(t, w.IsLive(token.Secret))
	require.Len(t, w.Live(), 2, "the neighbour and the successor")
	require.NoError(t, c.Revoke(t.Context(), handle))
	require.Len(t, w.Live(), 1)
	require.True(t, w.IsLive(neighbour.Secret))

	// A successor whose predecessor nobody knows is found by its name.
	token, _ = mint(t, c, "api=write")
	require.Equal(t, http.StatusOK, w.ask(t, http.MethodPost, "/personal_access_tokens/self/rotate", token.Secret))
	found, err := c.Find(t.Context(), "ci", "acme/web")
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.NoError(t, c.Revoke(t.Context(), providers.Handle{Value: found[aTokenID]}))
	require.Len(t, w.Live(), 1)
	require.True(t, w.IsLive(neighbour.Secret))
}

// TestCannotRotate: without the scope api a token has no successors.
func TestCannotRotate(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.token)
	for _, permission := range []string{"repository=write", "api=read", "k8s_proxy=write"} {
		token, handle := mint(t, c, permission)
		require.Equal(t, http.StatusForbidden, w.ask(t, http.MethodPost, "/personal_access_tokens/self/rotate", token.Secret))
		require.NoError(t, c.Revoke(t.Context(), handle))
	}
}

// TestRevokeWhatIsGone: each way in which a token can be dead already.
func TestRevokeWhatIsGone(t *testing.T) {
	for name, kill := range map[string]func(*world){
		"its bot was removed": func(w *world) { w.RemoveBot(tokenName("ci", aTokenID)) },
		"it expired":          func(w *world) { w.advance(48 * time.Hour) },
		"its project is gone": func(w *world) { w.DeleteProject("acme/web") },
	} {
		for _, permission := range []string{"repository=write", "api=write"} {
			t.Run(name+" "+permission, func(t *testing.T) {
				w := newWorld(t)
				c := w.connect(t, w.token)
				_, handle := mint(t, c, permission)
				kill(w)
				require.Empty(t, w.Live())
				require.NoError(t, c.Revoke(t.Context(), handle))
			})
		}
	}
}

// TestRevokeAfterMove: a token is killed wherever its project went.
func TestRevokeAfterMove(t *testing.T) {
	for _, permission := range []string{"repository=read", "repository=write"} {
		w := newWorld(t)
		c := w.connect(t, w.token)
		token, handle := mint(t, c, permission)
		w.MoveProject("acme/web", "acme/site")
		w.AddProject("acme/web")
		require.NoError(t, c.Revoke(t.Context(), handle))
		require.False(t, w.IsLive(token.Secret))
	}
}

// TestRevokeUnseen: where we lost our place in the project, a live token is not
// called dead, and a dead one is told from it where that can be known.
func TestRevokeUnseen(t *testing.T) {
	for _, permission := range []string{"repository=read", "repository=write", "api=write"} {
		w := newWorld(t)
		c := w.connect(t, w.token)
		token, handle := mint(t, c, permission)
		w.SetMember(w.user, "acme", 0)
		err := c.Revoke(t.Context(), handle)
		require.Equal(t, fault.Refused, fault.KindOf(err), err)
		require.ErrorContains(t, err, "not known to be dead")
		require.True(t, w.IsLive(token.Secret))
		w.Fail(gitlabtest.Fault{Path: "/users/", Status: http.StatusNotFound, Body: "<html>a proxy's page</html>"})
		require.Error(t, c.Revoke(t.Context(), handle))
		w.Heal()

		w.SetMember(w.user, "acme", gitlabtest.Developer)
		err = c.Revoke(t.Context(), handle)
		require.Contains(t, []fault.Kind{fault.Refused, fault.Unauthorized}, fault.KindOf(err), err)
		require.True(t, w.IsLive(token.Secret))

		w.SetMember(w.user, "acme", gitlabtest.Maintainer)
		require.NoError(t, c.Revoke(t.Context(), handle))
		require.Empty(t, w.Live())
	}
	w := newWorld(t)
	c := w.connect(t, w.token)
	_, handle := mint(t, c, "repository=read")
	w.DeleteProject("acme/web")
	require.Equal(t, fault.Refused, fault.KindOf(c.Revoke(t.Context(), handle)), "a deploy token's death cannot be known")
}

// TestMoved: a role does not follow its project, and the cache not its path.
func TestMoved(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.token)
	mint(t, c, "repository=read")
	w.MoveProject("acme/web", "acme/site")
	fresh := w.connect(t, w.token)
	_, err := fresh.Mint(t.Context(), grant(t, "repository=read"))
	require.Equal(t, fault.Refused, fault.KindOf(err), err)
	require.ErrorContains(t, err, "acme/web has moved to acme/site")

	w.AddProject("acme/web")
	w.advance(cacheFor)
	_, handle := mint(t, c, "repository=read")
	h, err := parseHandle(handle.Value)
	require.NoError(t, err)
	for _, token := range w.Tokens() {
		if token.ID == h.Token {
			require.Equal(t, "acme/web", token.Project)
		}
	}

	// A project that went away is looked up anew at once.
	w.DeleteProject("acme/web")
	_, err = c.Mint(t.Context(), grant(t, "repository=read"))
	require.ErrorContains(t, err, "there is no project acme/web")
	w.AddProject("acme/web")
	mint(t, c, "repository=read")
}

// TestFind: every page, both kinds, only names of ours.
func TestFind(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.token)
	want := map[string]bool{}
	for n := range perPage + 20 {
		for _, permission := range []string{"repository=read", "repository=write"} {
			g := grant(t, permission)
			g.TokenID = fmt.Sprintf("2026031422-%02x%022x", len(permission), n)
			want[g.TokenID] = true
			_, err := c.Mint(t.Context(), g)
			require.NoError(t, err)
		}
	}
	for _, foreign := range []string{"deploy", "2026031422-short", "2026031422-0123456789ABCDEF01234567", "x2026031422-0123456789abcdef01234567"} {
		g := grant(t, "repository=read")
		g.TokenID = foreign
		_, err := c.Mint(t.Context(), g)
		require.NoError(t, err)
	}
	other := grant(t, "repository=read")
	other.Subject = "another/role"
	_, err := c.Mint(t.Context(), other)
	require.NoError(t, err)
	found, err := c.Find(t.Context(), "ci", "acme/web")
	require.NoError(t, err)
	require.Len(t, found, len(want))
	for name, handle := range found {
		require.True(t, want[name], name)
		require.NoError(t, c.Revoke(t.Context(), providers.Handle{Value: handle}))
	}
	require.Len(t, w.Live(), 5, "one that is not ours was revoked")
}

// TestFindWithoutProjectTokens: gitlab.com without Premium has none and says 401.
func TestFindWithoutProjectTokens(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.token)
	mint(t, c, "repository=read")
	refusal := gitlabtest.Fault{Path: "/projects/2/access_tokens", Status: http.StatusUnauthorized, Body: `{"message":"401 Unauthorized"}`}
	w.Fail(refusal)
	found, err := c.Find(t.Context(), "ci", "acme/web")
	require.NoError(t, err)
	require.Contains(t, found, aTokenID)
	refusal.Path = "/self"
	w.Fail(refusal)
	_, err = c.Find(t.Context(), "ci", "acme/web")
	require.Equal(t, fault.Unauthorized, fault.KindOf(err), err)
}

// TestUndo: a mint whose answer is lost leaves nothing behind, without anybody's
// help.
func TestUndo(t *testing.T) {
	for _, permission := range []string{"repository=read", "repository=write", "api=write"} {
		for name, f := range map[string]gitlabtest.Fault{
			"dropped":   {Drop: true},
			"malformed": {Rewrite: func([]byte) []byte { return []byte(`{"id":`) }},
			"no token":  {Rewrite: func([]byte) []byte { return []byte(`{"id":7}`) }},
		} {
			w := newWorld(t)
			f.Method, f.Times = http.MethodPost, 1
			w.Fail(f)
			_, err := w.connect(t, w.token).Mint(t.Context(), grant(t, permission))
			require.Contains(t, []fault.Kind{fault.Unavailable, fault.Nonsense}, fault.KindOf(err), name)
			require.Empty(t, w.Live(), name)
		}
	}
}

// TestHalfAnAnswer: an answer that breaks off after the token does not put it into
// the error.
func TestHalfAnAnswer(t *testing.T) {
	w := newWorld(t)
	var half []byte
	w.Fail(gitlabtest.Fault{Method: http.MethodPost, Rewrite: func(body []byte) []byte {
		half = bytes.TrimRight(body, "}\n")
		return half
	}})
	_, err := w.connect(t, w.token).Mint(t.Context(), grant(t, "repository=write"))
	require.Equal(t, fault.Nonsense, fault.KindOf(err), err)
	secret := regexp.MustCompile(`glpat-\w+`).FindString(string(half))
	require.NotEmpty(t, secret)
	require.NotContains(t, err.Error(), secret)
}

func TestLastUsed(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.token)
	token, handle := mint(t, c, "api=read")
	at, err := c.LastUsed(t.Context(), handle)
	require.NoError(t, err)
	require.Zero(t, at)
	require.Equal(t, http.StatusOK, w.ask(t, http.MethodGet, "/projects/acme%2Fweb", token.Secret))
	used := w.clock()
	w.advance(5 * time.Minute)
	require.Equal(t, http.StatusOK, w.ask(t, http.MethodGet, "/projects/acme%2Fweb", token.Secret))
	at, err = c.LastUsed(t.Context(), handle)
	require.NoError(t, err)
	require.WithinDuration(t, used, at, time.Millisecond, "GitLab notes a use every ten minutes")

	_, deploy := mint(t, c, "repository=read")
	w.Forget()
	at, err = c.LastUsed(t.Context(), deploy)
	require.NoError(t, err)
	require.Zero(t, at)
	require.Empty(t, w.Requests(), "GitLab knows no use of a deploy token")
	_, err = c.LastUsed(t.Context(), providers.Handle{Value: "{}"})
	require.Error(t, err)
}
