// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlabtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// site is an instance with somebody of each level, and its clock.
type site struct {
	*gitlabtest.Instance
	server *httptest.Server
	now    time.Time
	tokens map[string]string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{now: time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC), tokens: map[string]string{}}
	s.Instance = gitlabtest.New(func() time.Time { return s.now })
	s.server = httptest.NewServer(s.Instance)
	t.Cleanup(s.server.Close)
	t.Cleanup(s.Close)
	s.AddProject("acme/web")
	for name, level := range map[string]int{"owner": gitlabtest.Owner, "maintainer": gitlabtest.Maintainer, "developer": gitlabtest.Developer, "stranger": 0} {
		id := s.AddUser(name)
		s.SetMember(id, "acme", level)
		s.tokens[name] = s.AddPersonalToken(id, name, []string{"api"}, s.now.AddDate(0, 0, 30))
	}
	bot := s.AddBot("bot")
	s.SetMember(bot, "acme", gitlabtest.Maintainer)
	s.tokens["bot"] = s.AddPersonalToken(bot, "bot", []string{"api"}, s.now.AddDate(0, 0, 30))
	return s
}

// ask sends a request as somebody, or with a token, and returns status and body.
func (s *site) ask(t *testing.T, as, method, path, body string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+"/api/v4"+path, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	token, known := s.tokens[as]
	if !known {
		token = as
	}
	r.Header.Set("PRIVATE-TOKEN", token)
	resp, err := s.server.Client().Do(r)
	require.NoError(t, err)
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(bytes.TrimSpace(answer)), resp.Header
}

// made is a created token's answer.
type made struct {
	ID          int64  `json:"id"`
	Token       string `json:"token"`
	ExpiresAt   string `json:"expires_at"`
	AccessLevel int    `json:"access_level"`
	Expired     bool   `json:"expired"`
	Username    string `json:"username"`
	LastUsedAt  string `json:"last_used_at"`
}

func (s *site) create(t *testing.T, as, path, body string) made {
	t.Helper()
	status, answer, _ := s.ask(t, as, http.MethodPost, path, body)
	require.Contains(t, []int{http.StatusCreated, http.StatusOK}, status, answer)
	var m made
	require.NoError(t, json.Unmarshal([]byte(answer), &m))
	require.NotEmpty(t, m.Token)
	return m
}

const (
	access = "/projects/acme%2Fweb/access_tokens"
	deploy = "/projects/acme%2Fweb/deploy_tokens"
)

// TestRefusals: who may do what, in GitLab's words.
func TestRefusals(t *testing.T) {
	good := `{"name":"n","scopes":["read_repository"],"access_level":30,"expires_at":"2026-03-15"}`
	for _, c := range []struct {
		as, method, path, body string
		status                 int
		answer                 string
	}{
		{"", "GET", "/projects/1", "", 401, `{"message":"401 Unauthorized"}`},
		{"glpat-unknown", "GET", "/projects/1", "", 401, `{"message":"401 Unauthorized"}`},
		{"stranger", "GET", "/projects/acme%2Fweb", "", 404, `{"message":"404 Project Not Found"}`},
		{"owner", "GET", "/projects/acme%2Fnone", "", 404, `{"message":"404 Project Not Found"}`},
		{"owner", "GET", "/nothing", "", 404, `{"error":"404 Not Found"}`},
		{"owner", "GET", "/users/99", "", 404, `{"message":"404 User Not Found"}`},
		{"developer", "POST", deploy, good, 403, `{"message":"403 Forbidden"}`},
		{"developer", "GET", deploy, "", 403, `{"message":"403 Forbidden"}`},
		{"developer", "GET", access, "", 401, `{"message":"401 Unauthorized"}`},
		{"developer", "POST", access, good, 400, `{"message":"400 Bad request - User does not have permission to create project access token"}`},
		{"bot", "POST", access, good, 400, `{"message":"400 Bad request - User does not have permission to create project access token"}`},
		{"maintainer", "POST", access, strings.Replace(good, "30", "50", 1), 400, `{"message":"400 Bad request - Access level of the token contains permissions not held by the creating user"}`},
		{"maintainer", "POST", access, strings.Replace(good, "30", "35", 1), 400, `{"error":"access_level does not have a valid value"}`},
		{"maintainer", "POST", access, strings.Replace(good, "30", `"x"`, 1), 400, `{"error":"access_level is invalid"}`},
		{"maintainer", "POST", access, `{}`, 400, `{"error":"name is missing, scopes is missing"}`},
		{"maintainer", "POST", access, `{"name":7,"scopes":"api"}`, 400, `{"error":"name is invalid, scopes is invalid"}`},
		{"maintainer", "POST", access, `{"name":"n","scopes":["sudo"]}`, 400, `{"error":"scopes does not have a valid value"}`},
		{"maintainer", "POST", access, `{"name":"n","scopes":["api"],"expires_at":"soon"}`, 400, `{"error":"expires_at is invalid"}`},
		{"maintainer", "POST", access, `{"name":"n","scopes":["api"],"expires_at":"2028-01-01"}`, 400, `{"message":"400 Bad request - Expiration date must be before 2027-03-14"}`},
		{"maintainer", "POST", access, `{`, 400, `{"error":"Problem processing JSON payload"}`},
		{"maintainer", "POST", deploy, `{"name":"n","scopes":["api"]}`, 400, `{"error":"scopes does not have a valid value"}`},
		{"maintainer", "POST", deploy, `{"name":"n","scopes":[]}`, 400, `{"message":"Scopes can't be blank"}`},
		{"maintainer", "DELETE", deploy + "/99", "", 404, `{"message":"404 Not Found"}`},
		{"maintainer", "DELETE", deploy + "/x", "", 400, `{"error":"token_id is invalid"}`},
		{"maintainer", "DELETE", access + "/99", "", 404, `{"message":"404 project Access Token Not Found"}`},
		{"maintainer", "GET", access + "/99", "", 404, `{"message":"404 project Access Token Not Found"}`},
		{"maintainer", "GET", "/personal_access_tokens?user_id=99", "", 401, `{"message":"401 Unauthorized"}`},
		{"maintainer", "POST", "/personal_access_tokens/99/rotate", "", 401, `{"message":"401 Unauthorized"}`},
	} {
		s := newSite(t)
		status, answer, _ := s.ask(t, c.as, c.method, c.path, c.body)
		require.Equal(t, c.status, status, "%s %s %s: %s", c.as, c.method, c.path, answer)
		require.Equal(t, c.answer, answer)
		require.Empty(t, s.Live())
	}
}

// TestDefaults: what GitLab makes of what is not said.
func TestDefaults(t *testing.T) {
	s := newSite(t)
	m := s.create(t, "maintainer", access, `{"name":"n","scopes":["api"]}`)
	require.Equal(t, gitlabtest.Maintainer, m.AccessLevel)
	require.Equal(t, "2027-03-14", m.ExpiresAt)
	m = s.create(t, "maintainer", deploy, `{"name":"n","scopes":["read_repository"]}`)
	require.Empty(t, m.ExpiresAt)
	require.Equal(t, "gitlab+deploy-token-"+strconv.FormatInt(m.ID, 10), m.Username)
	m = s.create(t, "maintainer", "/personal_access_tokens/self/rotate", "")
	require.Equal(t, "2026-03-21", m.ExpiresAt)
}

// TestExpiry: a date cuts the time of day off; a deploy token ends on its second,
// though it is called expired a day later.
func TestExpiry(t *testing.T) {
	s := newSite(t)
	cut := s.create(t, "maintainer", access, `{"name":"n","scopes":["read_api"],"expires_at":"2026-03-15T18:00:00Z"}`)
	require.Equal(t, "2026-03-15", cut.ExpiresAt)
	exact := s.create(t, "maintainer", deploy, `{"name":"n","scopes":["read_repository"],"expires_at":"2026-03-14T13:00:00Z"}`)
	require.Equal(t, "2026-03-14T13:00:00.000Z", exact.ExpiresAt)
	s.now = s.now.Add(time.Hour + time.Second)
	require.False(t, s.IsLive(exact.Token))
	_, answer, _ := s.ask(t, "maintainer", http.MethodGet, deploy, "")
	require.Contains(t, answer, `"expired":false`)
	_, answer, _ = s.ask(t, "maintainer", http.MethodGet, deploy+"?active=true", "")
	require.Equal(t, "[]", answer)
	require.True(t, s.IsLive(cut.Token))
	s.now = time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC)
	status, answer, _ := s.ask(t, cut.Token, http.MethodGet, "/projects/1", "")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Contains(t, answer, "Token is expired")
}

// TestScopes: a token does what its scopes say.
func TestScopes(t *testing.T) {
	s := newSite(t)
	reader := s.create(t, "maintainer", access, `{"name":"n","scopes":["read_api"],"access_level":20}`)
	status, _, _ := s.ask(t, reader.Token, http.MethodGet, "/projects/1", "")
	require.Equal(t, http.StatusOK, status)
	status, answer, _ := s.ask(t, reader.Token, http.MethodPost, deploy, `{}`)
	require.Equal(t, http.StatusForbidden, status)
	require.Contains(t, answer, `"error":"insufficient_scope"`)
	pusher := s.create(t, "maintainer", access, `{"name":"n","scopes":["write_repository"]}`)
	status, _, _ = s.ask(t, pusher.Token, http.MethodGet, "/projects/1", "")
	require.Equal(t, http.StatusForbidden, status)
	status, _, _ = s.ask(t, pusher.Token, http.MethodGet, "/personal_access_tokens/self", "")
	require.Equal(t, http.StatusOK, status, "every token may look at itself")
}

// TestRevocation: revoked access tokens stay visible, deploy tokens do not, and a
// replaced token that rotates again takes its successors with it.
func TestRevocation(t *testing.T) {
	s := newSite(t)
	m := s.create(t, "maintainer", access, `{"name":"n","scopes":["api"]}`)
	one := access + "/" + strconv.FormatInt(m.ID, 10)
	status, answer, _ := s.ask(t, "developer", http.MethodDelete, one, "")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "developer cannot delete n")
	for range 2 {
		status, _, _ = s.ask(t, "maintainer", http.MethodDelete, one, "")
		require.Equal(t, http.StatusNoContent, status)
	}
	_, answer, _ = s.ask(t, "maintainer", http.MethodGet, one, "")
	require.Contains(t, answer, `"revoked":true`)
	_, answer, _ = s.ask(t, "maintainer", http.MethodGet, access+"?state=active", "")
	require.Equal(t, "[]", answer)

	old := s.tokens["owner"]
	next := s.create(t, "owner", "/personal_access_tokens/self/rotate", `{"expires_at":"2026-04-01"}`)
	require.False(t, s.IsLive(old))
	status, _, _ = s.ask(t, old, http.MethodGet, "/projects/1", "")
	require.Equal(t, http.StatusUnauthorized, status)
	require.True(t, s.IsLive(next.Token), "only a rotation counts as theft")
	_, _, _ = s.ask(t, old, http.MethodPost, "/personal_access_tokens/self/rotate", "")
	require.False(t, s.IsLive(next.Token))
}

// TestPages: lists come in pages with GitLab's headers.
func TestPages(t *testing.T) {
	s := newSite(t)
	for range 45 {
		s.create(t, "maintainer", deploy, `{"name":"n","scopes":["read_repository"]}`)
	}
	count := func(query string) (int, http.Header) {
		_, answer, header := s.ask(t, "maintainer", http.MethodGet, deploy+query, "")
		var list []json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(answer), &list))
		return len(list), header
	}
	n, header := count("")
	require.Equal(t, 20, n)
	require.Equal(t, []string{"2", "45", "3"}, []string{header.Get("X-Next-Page"), header.Get("X-Total"), header.Get("X-Total-Pages")})
	n, header = count("?page=3")
	require.Equal(t, 5, n)
	require.Empty(t, header.Get("X-Next-Page"))
	n, _ = count("?per_page=1000")
	require.Equal(t, 45, n)
	n, _ = count("?page=9")
	require.Zero(t, n)
}

// TestFaults: what a fault says happens, to the requests that it names.
func TestFaults(t *testing.T) {
	s := newSite(t)
	s.Limit(http.Header{"Retry-After": {"9"}})
	status, answer, header := s.ask(t, "owner", http.MethodGet, "/projects/1", "")
	require.Equal(t, http.StatusTooManyRequests, status)
	require.Contains(t, answer, "requested too many times")
	require.Equal(t, "9", header.Get("Retry-After"))
	s.Heal()

	s.Fail(gitlabtest.Fault{Method: http.MethodPost, Path: "/deploy_tokens", Skip: 1, Times: 1, Drop: true})
	body := `{"name":"n","scopes":["read_repository"]}`
	s.create(t, "maintainer", deploy, body)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.server.URL+"/api/v4"+deploy, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("PRIVATE-TOKEN", s.tokens["maintainer"])
	r.Header.Set("Content-Type", "application/json")
	_, err = s.server.Client().Do(r)
	require.Error(t, err)
	require.Len(t, s.Live(), 2, "the answer was dropped, not the token")
	s.create(t, "maintainer", deploy, body)

	s.Fail(gitlabtest.Fault{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.server.Client().Do(r.WithContext(ctx))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// TestRequestsHoldNoToken: what is shown of requests can be printed.
func TestRequestsHoldNoToken(t *testing.T) {
	s := newSite(t)
	s.create(t, "maintainer", deploy, `{"name":"n","scopes":["read_repository"]}`)
	list := s.Requests()
	require.Len(t, list, 1)
	require.Equal(t, "POST /api/v4/projects/acme%2Fweb/deploy_tokens\n"+`{"name":"n","scopes":["read_repository"]}`, list[0].String())
	s.Forget()
	require.Empty(t, s.Requests())
}

// TestMoves: an old path leads to the new one until somebody takes it.
func TestMoves(t *testing.T) {
	s := newSite(t)
	s.MoveProject("acme/web", "acme/site")
	_, answer, _ := s.ask(t, "owner", http.MethodGet, "/projects/ACME%2Fweb", "")
	require.Contains(t, answer, `"path_with_namespace":"acme/site"`)
	s.AddProject("acme/web")
	_, answer, _ = s.ask(t, "owner", http.MethodGet, "/projects/ACME%2Fweb", "")
	require.Contains(t, answer, `"path_with_namespace":"acme/web"`)
	s.DeleteProject("acme/site")
	status, _, _ := s.ask(t, "owner", http.MethodGet, "/projects/acme%2Fsite", "")
	require.Equal(t, http.StatusNotFound, status)
}
