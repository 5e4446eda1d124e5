// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestControl(t *testing.T) {
	s := start(t, Options{Control: true})
	token := s.token(want("web", "contents", "read"))
	tokens := func() (shown struct {
		Live   int
		Tokens []Token
	}) {
		r := s.do("GET", "/_simulator/tokens", "", nil)
		require.NotContains(t, string(r.body), token)
		require.NoError(t, json.Unmarshal(r.body, &shown))
		return shown
	}
	require.Equal(t, 1, tokens().Live)
	require.Equal(t, []string{"web"}, tokens().Tokens[0].Repositories)
	s.asToken(token, "DELETE", revocation, nil)
	require.Zero(t, tokens().Live)
	require.Equal(t, Revoked, tokens().Tokens[0].State)

	fault := map[string]any{"match": "GET /app", "status": 503, "delay": "1ms", "header": map[string]string{"retry-after": "9"}, "body": "{}"}
	require.Equal(t, http.StatusNoContent, s.do("POST", "/_simulator/fail", "", fault).status)
	r := s.asApp("GET", "/app", nil)
	require.Equal(t, http.StatusServiceUnavailable, r.status)
	require.Equal(t, "9", r.header.Get("Retry-After"))
	require.Equal(t, http.StatusNoContent, s.do("DELETE", "/_simulator/fail", "", nil).status)
	require.Equal(t, http.StatusOK, s.asApp("GET", "/app", nil).status)

	for _, wrong := range []string{`{`, `{"unknown": 1}`, `{"delay": "soon"}`} {
		require.Equal(t, http.StatusBadRequest, s.do("POST", "/_simulator/fail", "", wrong).status, wrong)
	}
	seen := s.do("GET", "/_simulator/requests", "", nil).object(t)
	require.EqualValues(t, 2, seen["counts"].(map[string]any)["GET /app"])

	counts := func() map[string]any { return s.do("GET", "/_simulator/counts", "", nil).object(t) }
	require.EqualValues(t, 2, counts()["counts"].(map[string]any)["GET /app"])
	require.EqualValues(t, 1, counts()["max_concurrent"])
	require.EqualValues(t, 0, counts()["live"])
	require.Equal(t, http.StatusNoContent, s.do("DELETE", "/_simulator/requests", "", nil).status)
	require.Empty(t, counts()["counts"])
}

func TestControlIsOffByDefault(t *testing.T) {
	s := start(t, Options{})
	require.Equal(t, http.StatusNotFound, s.do("GET", "/_simulator/tokens", "", nil).status)
}
