// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea"
)

func TestBaseURL(t *testing.T) {
	for written, canonical := range map[string]string{
		"https://git.example.com":                "https://git.example.com",
		"https://git.example.com/":               "https://git.example.com",
		"https://git.example.com/api/v1":         "https://git.example.com",
		"https://git.example.com/gitea/api/v1/":  "https://git.example.com/gitea",
		"https://git.example.com/api/v1/gitea":   "https://git.example.com/api/v1/gitea",
		"https://git.example.com:3000/git/forge": "https://git.example.com:3000/git/forge",
	} {
		c := connect(t, providers.Settings{BaseURL: written, Values: map[string]string{"username": "u", "password": "p"}})
		require.Equal(t, canonical, c.BaseURL())
	}
}

func TestSettings(t *testing.T) {
	for _, settings := range []providers.Settings{
		{Values: map[string]string{"username": "u", "password": "p"}},
		{BaseURL: "https://git.example.com", Values: map[string]string{"password": "p"}},
		{BaseURL: "https://git.example.com", Values: map[string]string{"username": "u"}},
		{BaseURL: "https://git.example.com", Values: map[string]string{"username": "a:b", "password": "p"}},
	} {
		_, err := gitea.Platform().Connect(settings)
		require.Equal(t, fault.Invalid, fault.KindOf(err), err)
	}
}

func TestVerifyRefusesWhatCannotMint(t *testing.T) {
	w := newWorld(t)
	user := "user-" + w.organization
	password, err := server.CreateUser(t.Context(), user)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		values map[string]string
		kind   fault.Kind
	}{
		"no administrator": {map[string]string{"username": user, "password": password}, fault.Refused},
		"a wrong password": {map[string]string{"password": password}, fault.Unauthorized},
	} {
		settings := w.settings
		settings.Values = maps.Clone(w.settings.Values)
		maps.Copy(settings.Values, c.values)
		err := connect(t, settings).Verify(t.Context())
		require.Equal(t, c.kind, fault.KindOf(err), "%s: %v", name, err)
		require.NotContains(t, err.Error(), settings.Values["password"])
	}
}

// answering is a connection to a server that always gives the same answer.
func answering(t *testing.T, status int, header http.Header, body string) connection {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), header)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return connect(t, providers.Settings{BaseURL: s.URL, Values: map[string]string{"username": "u", "password": "hunter2hunter2"}})
}

func TestAnswersOfRevoke(t *testing.T) {
	const no = `{"message":"no, hunter2hunter2 is wrong"}`
	for name, c := range map[string]struct {
		status int
		header http.Header
		body   string
		kind   fault.Kind
		wait   time.Duration
	}{
		"a 404 of a proxy's":    {status: 404, body: "<html>nothing here</html>", kind: fault.Nonsense},
		"a redirect":            {status: 302, header: http.Header{"Location": {"/login"}}, kind: fault.Nonsense},
		"unauthorised":          {status: 401, body: no, kind: fault.Unauthorized},
		"forbidden":             {status: 403, body: no, kind: fault.Refused},
		"limited":               {status: 429, header: http.Header{"Retry-After": {"17"}}, body: no, kind: fault.Limited, wait: 17 * time.Second},
		"limited, who knows":    {status: 429, body: no, kind: fault.Limited, wait: time.Minute},
		"down":                  {status: 503, header: http.Header{"Retry-After": {"3"}}, body: no, kind: fault.Unavailable, wait: 3 * time.Second},
		"down, who knows":       {status: 502, body: "<html>bad gateway</html>", kind: fault.Unavailable},
		"down with a 404 of it": {status: 500, body: `{"message":"not found"}`, kind: fault.Unavailable},
	} {
		err := answering(t, c.status, c.header, c.body).Revoke(t.Context(), handleOf(`{"account":"ci-0","id":7}`))
		require.Equal(t, c.kind, fault.KindOf(err), "%s: %v", name, err)
		require.Equal(t, c.wait, fault.RetryAfter(err), name)
		require.NotContains(t, err.Error(), "hunter2", name)
	}
	require.NoError(t, answering(t, 404, nil, `{"message":"not found"}`).Revoke(t.Context(), handleOf(`{"account":"ci-0","id":7}`)))
}

func TestHandles(t *testing.T) {
	c := answering(t, 204, nil, "")
	for _, value := range []string{"", "{}", "null", "7", `{"account":"ci-0"}`, `{"id":7}`, `{"account":"ci-0","id":0}`, `{"account":"ci-0","id":-1}`} {
		require.Error(t, c.Revoke(t.Context(), handleOf(value)), value)
		_, err := c.LastUsed(t.Context(), handleOf(value))
		require.Error(t, err, value)
	}
	require.NoError(t, c.Revoke(t.Context(), handleOf(`{"account":"ci-0","id":7}`)))
}

// A list that never ends does not hold us for ever.
func TestEndlessList(t *testing.T) {
	c := answering(t, 200, nil, `[{"id":1,"name":"someone else's"}]`)
	_, err := c.LastUsed(t.Context(), handleOf(`{"account":"ci-0","id":7}`))
	require.Equal(t, fault.Nonsense, fault.KindOf(err), err)
}
