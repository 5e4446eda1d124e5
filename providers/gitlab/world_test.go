// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

// start is when each test's clock begins: not a whole second, and late in the day.
var start = time.Date(2026, 3, 14, 22, 50, 10, 500_000_000, time.UTC)

const aTokenID = "2026031422-0123456789abcdef01234567"

// world is a GitLab with one project, and our user who is Maintainer of its group.
type world struct {
	*gitlabtest.Instance
	server *httptest.Server
	user   int64
	token  string

	mu  sync.Mutex
	now time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{now: start}
	w.Instance = gitlabtest.New(w.clock)
	w.server = httptest.NewServer(w.Instance)
	t.Cleanup(w.server.Close)
	t.Cleanup(w.Instance.Close)
	w.user = w.AddUser("vault")
	w.SetMember(w.user, "acme", gitlabtest.Maintainer)
	w.AddProject("acme/web")
	w.AddProject("acme/tools/lint")
	w.token = w.AddPersonalToken(w.user, "vault", []string{"api"}, start.AddDate(0, 0, 30))
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) settings(t *testing.T, token string) providers.Settings {
	t.Helper()
	client, err := transport.New(transport.Options{Timeout: 5 * time.Second})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return providers.Settings{
		BaseURL: w.server.URL, Values: map[string]string{"token": token},
		Client: client, Now: w.clock, Logger: hclog.NewNullLogger(),
	}
}

func (w *world) connect(t *testing.T, token string) *connection {
	t.Helper()
	c, err := connect(w.settings(t, token))
	require.NoError(t, err)
	return c.(*connection)
}

// as connects with a token of another user.
func (w *world) as(t *testing.T, userID int64) *connection {
	t.Helper()
	return w.connect(t, w.AddPersonalToken(userID, "vault", []string{"api"}, start.AddDate(0, 0, 30)))
}

func grant(t *testing.T, permissions ...string) providers.Grant {
	t.Helper()
	parsed, err := providers.ParsePermissions("permissions", permissions)
	require.NoError(t, err)
	return providers.Grant{
		TokenID: aTokenID, Subject: "ci/role", Account: "acme", Repositories: []string{"web"},
		Permissions: parsed, ExpiresAt: start.Add(15 * time.Minute),
	}
}

func mint(t *testing.T, c *connection, permissions ...string) (*providers.Token, providers.Handle) {
	t.Helper()
	token, err := c.Mint(t.Context(), grant(t, permissions...))
	require.NoError(t, err)
	return token, providers.Handle{Value: token.Handle, MintedAt: c.now()}
}

// ask sends one request with a token, as its holder would.
func (w *world) ask(t *testing.T, method, path, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, w.server.URL+"/api/v4"+path, nil)
	require.NoError(t, err)
	r.Header.Set("PRIVATE-TOKEN", token)
	resp, err := w.server.Client().Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// stripPrefix serves a handler below a folder; escaped slashes stay as they are.
func stripPrefix(prefix string, next http.Handler) http.Handler {
	return http.StripPrefix(prefix, next)
}
