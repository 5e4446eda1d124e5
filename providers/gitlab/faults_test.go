// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// TestErrors: each of GitLab's ways to say no, and whose fault it is.
func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   fault.Kind
		says   string
	}{
		"service failure":      {400, `{"message":"400 Bad request - User does not have permission to create project access token"}`, fault.Refused, "does not have permission"},
		"list of messages":     {400, `{"message":["one","two"]}`, fault.Refused, "one, two"},
		"messages by field":    {400, `{"message":{"name":["is too long"],"expires_at":["must be before 2027-01-01"]}}`, fault.Refused, "expires_at must be before 2027-01-01; name is too long"},
		"validator":            {400, `{"error":"scopes does not have a valid value"}`, fault.Refused, "scopes does not have"},
		"unprocessable":        {422, `{"message":"no"}`, fault.Refused, "no"},
		"conflict":             {409, `{"message":"409 Conflict"}`, fault.Refused, "409 Conflict"},
		"bad token":            {401, `{"message":"401 Unauthorized"}`, fault.Unauthorized, "does not accept our token"},
		"expired":              {401, `{"error":"invalid_token","error_description":"Token is expired."}`, fault.Unauthorized, "Token is expired"},
		"no scope":             {403, `{"error":"insufficient_scope","error_description":"The request requires higher privileges"}`, fault.Unauthorized, "lacks the scope api"},
		"no role":              {403, `{"message":"403 Forbidden"}`, fault.Refused, "must be Maintainer"},
		"no project":           {404, `{"message":"404 Project Not Found"}`, fault.Refused, "add that user to the project"},
		"not GitLab's 404":     {404, `<html>nothing here</html>`, fault.Nonsense, "status 404"},
		"not GitLab's 400":     {400, `nginx`, fault.Nonsense, "status 400"},
		"not an API":           {200, `<html>Sign in</html>`, fault.Nonsense, "not what the API promises"},
		"a moved method":       {405, `{"message":"405 Method Not Allowed"}`, fault.Nonsense, "405"},
		"teapot":               {418, `{}`, fault.Nonsense, "418"},
		"down":                 {502, `<html>GitLab is not responding</html>`, fault.Unavailable, "502"},
		"maintenance":          {503, `{"message":"503 Service Unavailable"}`, fault.Unavailable, "503"},
		"several lines":        {400, `{"message":"one\nlevel=error token=x"}`, fault.Refused, "one level=error"},
		"endless":              {400, `{"message":"` + strings.Repeat("x", 10_000) + `"}`, fault.Refused, "xxx..."},
		"a message of rubbish": {400, `{"message":{"a":{"b":[1,null,{}]}}}`, fault.Refused, "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Fail(gitlabtest.Fault{Path: "/projects", Status: c.status, Body: c.body})
			_, err := w.connect(t, w.token).Mint(t.Context(), grant(t, "repository=read"))
			require.Equal(t, c.kind, fault.KindOf(err), err)
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "\n")
			require.Less(t, len(err.Error()), 1000)
		})
	}
}

func TestWaits(t *testing.T) {
	for name, c := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"seconds":         {http.Header{"Retry-After": {"7"}}, 7 * time.Second},
		"a date":          {http.Header{"Retry-After": {start.Add(90 * time.Second).Format(http.TimeFormat)}}, 89*time.Second + 500*time.Millisecond},
		"when it resets":  {http.Header{"Ratelimit-Reset": {"1773528631"}}, 20*time.Second + 500*time.Millisecond},
		"nothing":         {nil, time.Minute},
		"nonsense":        {http.Header{"Retry-After": {"soon"}}, time.Minute},
		"the past":        {http.Header{"Ratelimit-Reset": {"1"}}, time.Minute},
		"negative":        {http.Header{"Retry-After": {"-5"}}, time.Minute},
		"longer than any": {http.Header{"Retry-After": {"999999"}}, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Limit(c.header)
			err := w.connect(t, w.token).Verify(t.Context())
			require.Equal(t, fault.Limited, fault.KindOf(err), err)
			require.Equal(t, c.want, fault.RetryAfter(err))
		})
	}
	w := newWorld(t)
	w.Fail(gitlabtest.Fault{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"30"}}})
	require.Equal(t, 30*time.Second, fault.RetryAfter(w.connect(t, w.token).Verify(t.Context())))
}

// TestVerify: what is wrong with our own token is said.
func TestVerify(t *testing.T) {
	w := newWorld(t)
	for says, token := range map[string]string{
		"lacks the scope api":       w.AddPersonalToken(w.user, "x", []string{"read_api"}, time.Time{}),
		"does not accept our token": "glpat-unknown",
		"Token is expired":          w.AddPersonalToken(w.user, "x", []string{"api"}, start),
	} {
		err := w.connect(t, token).Verify(t.Context())
		require.Equal(t, fault.Unauthorized, fault.KindOf(err), err)
		require.ErrorContains(t, err, says)
	}
	w.Fail(gitlabtest.Fault{Status: http.StatusOK, Body: `{"id":1,"user_id":1,"active":false,"scopes":["api"]}`})
	require.ErrorContains(t, w.connect(t, w.token).Verify(t.Context()), "revoked or has expired")
}

// FuzzAnswers: whatever is answered, a mint ends with a token or a known kind of
// error, and says nothing of our token.
func FuzzAnswers(f *testing.F) {
	f.Add(201, []byte(`{"id":1,"name":"x","username":"u","expires_at":"2026-01-01T00:00:00.000Z","token":"t","scopes":["read_repository"]}`))
	f.Add(201, []byte(`{"id":1,"user_id":2,"expires_at":"2026-01-01","token":"t","access_level":30,"scopes":["api"]}`))
	f.Add(400, []byte(`{"message":{"a":["b",{"c":null}]}}`))
	f.Add(404, []byte(`{"message":"404 Project Not Found"}`))
	f.Add(429, []byte(`null`))
	f.Add(200, []byte(`{"expires_at":7}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 || status == 204 || status == 304 {
			t.Skip()
		}
		w := newWorld(t)
		secret := w.token
		w.Fail(gitlabtest.Fault{Method: http.MethodPost, Status: status, Body: strings.ReplaceAll(string(body), "SECRET", secret)})
		for _, permission := range []string{"repository=read", "repository=write"} {
			token, err := w.connect(t, secret).Mint(t.Context(), grant(t, permission))
			if err == nil {
				require.NotEmpty(t, token.Secret)
				require.NotEmpty(t, token.Permissions)
				_, err = parseHandle(token.Handle)
				require.NoError(t, err)
				continue
			}
			require.NotEqual(t, fault.Internal, fault.KindOf(err), err)
			require.NotContains(t, err.Error(), secret)
		}
	})
}

// FuzzHandle: a handle is read whole or not at all.
func FuzzHandle(f *testing.F) {
	f.Add(handle{Kind: deployToken, Project: 1, Token: 2}.String())
	f.Add(handle{Kind: projectToken, Project: 1, Token: 2, Bot: 3, API: true}.String())
	f.Add(`{"kind":"project","project_id":1,"token_id":2}`)
	f.Fuzz(func(t *testing.T, value string) {
		h, err := parseHandle(value)
		if err != nil {
			return
		}
		again, err := parseHandle(h.String())
		require.NoError(t, err)
		require.Equal(t, h, again)
		require.Positive(t, min(h.Project, h.Token))
	})
}
