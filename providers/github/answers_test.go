// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// canned is a GitHub that finds installation 7 and answers a mint, a revocation
// and GET /app with one answer.
func canned(t *testing.T, status int, header map[string]string, body string) *connection {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path != "/app" {
			_, _ = w.Write([]byte(`{"id":7,"account":{"login":"acme"},"html_url":"https://github.com/organizations/acme/settings/installations/7","permissions":{"contents":"read"}}`))
			return
		}
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return connectTo(t, providers.Settings{
		BaseURL: server.URL, Now: time.Now,
		Values: map[string]string{fieldAppID: "1234", fieldPrivateKey: keyPEM()},
	})
}

func TestAnswersThatAreNoToken(t *testing.T) {
	reset := strconv.FormatInt(time.Now().Add(10*time.Minute).Unix(), 10)
	const secondary = `{"message":"You have exceeded a secondary rate limit.","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}`
	for name, tc := range map[string]struct {
		status   int
		header   map[string]string
		body     string
		kind     fault.Kind
		says     string
		min, max time.Duration
	}{
		"wrong key":         {401, nil, `{"message":"A JSON web token could not be decoded"}`, fault.Unauthorized, "is private_key one of its keys?", 0, 0},
		"clock ahead":       {401, map[string]string{"Date": time.Now().Add(-7 * time.Minute).UTC().Format(http.TimeFormat)}, `{"message":"'Expiration time' claim ('exp') is too far in the future"}`, fault.Unauthorized, "ahead of GitHub's", 0, 0},
		"clock behind":      {401, map[string]string{"Date": time.Now().Add(12 * time.Minute).UTC().Format(http.TimeFormat)}, `{"message":"'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires"}`, fault.Unauthorized, "behind GitHub's", 0, 0},
		"no such app":       {404, nil, `{"message":"Integration not found"}`, fault.Unauthorized, "knows no App with app_id 1234", 0, 0},
		"retry-after":       {403, map[string]string{"Retry-After": "30"}, secondary, fault.Limited, "secondary rate limit", 30 * time.Second, 30 * time.Second},
		"429":               {429, map[string]string{"Retry-After": "5"}, `{}`, fault.Limited, "429", 5 * time.Second, 5 * time.Second},
		"secondary, silent": {403, nil, secondary, fault.Limited, "", time.Minute, time.Minute},
		"primary":           {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, `{"message":"API rate limit exceeded"}`, fault.Limited, "", 590 * time.Second, 602 * time.Second},
		"primary with 429":  {429, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, `{}`, fault.Limited, "", 590 * time.Second, 602 * time.Second},
		"primary, past":     {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "12"}, `{}`, fault.Limited, "", time.Second, time.Second},
		"primary, absurd":   {403, map[string]string{"Retry-After": "9999999999999"}, `{}`, fault.Limited, "", longestWait, longestWait},
		"a page":            {502, nil, `<html>502</html>`, fault.Unavailable, "502 Bad Gateway", 0, 0},
		"500":               {500, nil, `{"message":"boom"}`, fault.Unavailable, "boom", 0, 0},
		"redirect":          {302, map[string]string{"Location": "https://elsewhere.test/"}, ``, fault.Nonsense, "no redirect to another host", 0, 0},
		"accepted":          {202, nil, `{}`, fault.Nonsense, "202", 0, 0},
		"plain 403":         {403, nil, `{"message":"Resource not accessible by integration"}`, fault.Refused, "Resource not accessible", 0, 0},
		"422":               {422, nil, `{"message":"Invalid request.","errors":["one",{"message":"two"},3]}`, fault.Refused, "Invalid request.; one; two", 0, 0},
		"418":               {418, nil, ``, fault.Refused, "418", 0, 0},
		"empty":             {201, nil, ``, fault.Nonsense, "", 0, 0},
		"no token":          {201, nil, `{"expires_at":"2030-01-01T00:00:00Z"}`, fault.Nonsense, "no token", 0, 0},
		"no expiry":         {201, nil, `{"token":"ghs_x","permissions":{},"repositories":[]}`, fault.Nonsense, "when the token expires", 0, 0},
		"bad expiry":        {201, nil, `{"token":"ghs_x","expires_at":"soon"}`, fault.Nonsense, "", 0, 0},
		"no permissions":    {201, nil, `{"token":"ghs_x","expires_at":"2030-01-01T00:00:00Z","repositories":[]}`, fault.Nonsense, "what the token may do", 0, 0},
		"no repositories":   {201, nil, `{"token":"ghs_x","expires_at":"2030-01-01T00:00:00Z","permissions":{}}`, fault.Nonsense, "which repositories", 0, 0},
		"nameless one":      {201, nil, `{"token":"ghs_x","expires_at":"2030-01-01T00:00:00Z","permissions":{},"repositories":[{"id":1}]}`, fault.Nonsense, "has no name", 0, 0},
		"a token of two":    {201, nil, `{"token":"ghs_x\ny"}`, fault.Nonsense, "no token", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := canned(t, tc.status, tc.header, tc.body)
			token, err := c.Mint(t.Context(), acmeGrant(t, "contents=read"))
			require.Nil(t, token)
			requireFault(t, err, tc.kind, tc.says)
			require.GreaterOrEqual(t, fault.RetryAfter(err), tc.min)
			require.LessOrEqual(t, fault.RetryAfter(err), tc.max)
		})
	}
}

func TestVerifyRefusals(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	other := w.AddApp(githubtest.App{Keys: w.app.Keys})
	w.AddRepositories("globex", "x")
	foreign := w.AddInstallation(githubtest.Installation{AppID: other.ID, Account: "globex"})
	t.Run("installation of another App", func(t *testing.T) {
		c := w.connect(t, nil, fieldInstallation, strconv.FormatInt(foreign.ID, 10))
		requireFault(t, c.Verify(t.Context()), fault.Refused, "has no installation")
	})
	t.Run("installation on another account", func(t *testing.T) {
		c := w.connect(t, nil, fieldInstallation, strconv.FormatInt(w.in.ID, 10), fieldOrganization, "globex")
		requireFault(t, c.Verify(t.Context()), fault.Refused, "is on acme, not on globex")
	})
	t.Run("suspended", func(t *testing.T) {
		w.Suspend(w.in.ID)
		defer w.Unsuspend(w.in.ID)
		c := w.connect(t, nil, fieldInstallation, strconv.FormatInt(w.in.ID, 10))
		requireFault(t, c.Verify(t.Context()), fault.Refused, "suspended", "settings/installations")
	})
	t.Run("unknown App", func(t *testing.T) {
		requireFault(t, w.connect(t, nil, fieldAppID, "999999").Verify(t.Context()), fault.Unauthorized, "999999")
	})
	t.Run("a clock that is behind", func(t *testing.T) {
		late := func() time.Time { return time.Now().Add(-20 * time.Minute) }
		requireFault(t, w.connect(t, late).Verify(t.Context()), fault.Unauthorized, "behind GitHub's: set it")
	})
	t.Run("by client id", func(t *testing.T) {
		require.NoError(t, w.connect(t, nil, fieldAppID, w.app.ClientID).Verify(t.Context()))
	})
}
