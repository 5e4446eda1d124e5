// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

const accessTokens = "POST /app/installations/*/access_tokens"

// testKey and otherKey are made once: a key takes a moment.
var testKey, otherKey = sync.OnceValue(newKey), sync.OnceValue(newKey)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// clock is a clock that only the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// setup is an organisation acme with an App installed on two of its three
// repositories.
type setup struct {
	*Simulator
	t            testing.TB
	clock        *clock
	client       *http.Client
	app          App
	installation Installation
}

var testPermissions = map[string]string{
	"contents": "write", "statuses": "write", "deployments": "write", "packages": "read", "something_new": "read",
}

func start(t testing.TB, options Options) *setup {
	t.Helper()
	c := newClock()
	options.Now = c.Now
	s := &setup{Simulator: Start(t, options), t: t, clock: c}
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	s.app = s.AddApp(App{Permissions: testPermissions, Keys: []*rsa.PrivateKey{testKey()}})
	s.AddRepositories("Acme", "web", "api", "hidden")
	s.installation = s.AddInstallation(Installation{AppID: s.app.ID, Account: "Acme", Repositories: []string{"web", "api"}})
	return s
}

func sign(key *rsa.PrivateKey, claims jwt.MapClaims) string {
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(key)
	if err != nil {
		panic(err)
	}
	return signed
}

// jwt is a good one of the App.
func (s *setup) jwt() string {
	now := s.clock.Now()
	return sign(testKey(), jwt.MapClaims{
		"iss": strconv.FormatInt(s.app.ID, 10), "iat": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix(),
	})
}

type response struct {
	status int
	header http.Header
	body   []byte
}

func (r response) object(t testing.TB) map[string]any {
	t.Helper()
	var o map[string]any
	require.NoError(t, json.Unmarshal(r.body, &o), "%s", r.body)
	return o
}

func (r response) message() string {
	var o struct{ Message string }
	_ = json.Unmarshal(r.body, &o)
	return o.Message
}

// try makes a request; its authorization is a header value, or empty.
func (s *setup) try(method, path, authorization string, body any) (response, error) {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = bytes.NewBufferString(b)
	default:
		reader = bytes.NewReader(mustJSON(b))
	}
	r, err := http.NewRequest(method, s.URL()+path, reader)
	if err != nil {
		return response{}, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return response{}, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return response{answer.StatusCode, answer.Header, content}, err
}

func (s *setup) do(method, path, authorization string, body any) response {
	s.t.Helper()
	r, err := s.try(method, path, authorization, body)
	require.NoError(s.t, err)
	return r
}

func (s *setup) asApp(method, path string, body any) response {
	s.t.Helper()
	return s.do(method, path, "Bearer "+s.jwt(), body)
}

func (s *setup) mintPath() string {
	return fmt.Sprintf("/app/installations/%d/access_tokens", s.installation.ID)
}

// token mints; a nil request asks for everything.
func (s *setup) token(request any) string {
	s.t.Helper()
	r := s.asApp("POST", s.mintPath(), request)
	require.Equal(s.t, http.StatusCreated, r.status, "%s", r.body)
	return r.object(s.t)["token"].(string)
}

func (s *setup) asToken(token, method, path string, body any) response {
	s.t.Helper()
	return s.do(method, path, "Bearer "+token, body)
}

// want is what one repository and these permissions are asked for with.
func want(repository string, permissions ...string) map[string]any {
	asked := map[string]string{}
	for i := 0; i < len(permissions); i += 2 {
		asked[permissions[i]] = permissions[i+1]
	}
	return map[string]any{"repositories": []string{repository}, "permissions": asked}
}

// split takes "METHOD PATH" apart.
func split(request string) (method, path string) {
	method, path, _ = strings.Cut(request, " ")
	return method, path
}
