// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea/giteatest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

// server is the one Gitea of all tests: each makes a world of its own on it.
var server *giteatest.Server

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var err error
	if server, err = giteatest.Start(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = server.Close() }()
	return m.Run()
}

// world is an organisation with two repositories, web and api, and an
// administrator for us, all of one test's own.
type world struct {
	settings     providers.Settings
	organization string
	subject      string
}

func newWorld(t *testing.T) world {
	t.Helper()
	name := strings.ToLower(rand.Text()[:12])
	w := world{organization: "acme-" + name, subject: "secrets_ci_" + name + "/role"}
	require.NoError(t, server.CreateOrganization(t.Context(), w.organization))
	for _, repository := range []string{"web", "api"} {
		require.NoError(t, server.CreateRepository(t.Context(), w.organization, repository))
	}
	admin := "vault-" + name
	password, err := server.CreateAdmin(t.Context(), admin)
	require.NoError(t, err)
	client, err := transport.New(transport.Options{Timeout: 30 * time.Second})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	w.settings = providers.Settings{
		BaseURL: server.URL, Values: map[string]string{"username": admin, "password": password},
		Client: client, Now: time.Now,
	}
	return w
}

// connection has all that this platform offers.
type connection interface {
	providers.Connection
	providers.Finder
	providers.Observer
	providers.Retirer
	providers.Rotator
}

func connect(t *testing.T, s providers.Settings) connection {
	t.Helper()
	c, err := gitea.Platform().Connect(s)
	require.NoError(t, err)
	return c.(connection)
}

// grant is one for the repository web.
func (w world) grant(t *testing.T, permissions ...string) providers.Grant {
	t.Helper()
	parsed, err := providers.ParsePermissions("permissions", permissions)
	require.NoError(t, err)
	return providers.Grant{
		TokenID: "2026112303-" + strings.ToLower(rand.Text()[:24]), Subject: w.subject,
		Account: w.organization, Repositories: []string{"web"}, Permissions: parsed,
		ExpiresAt: time.Now().Add(15 * time.Minute),
	}
}

func mint(t *testing.T, c connection, g providers.Grant) (*providers.Token, providers.Handle) {
	t.Helper()
	token, err := c.Mint(t.Context(), g)
	require.NoError(t, err)
	return token, providers.Handle{Value: token.Handle, MintedAt: time.Now()}
}

// statusOf is the status that Gitea answers a token with; 200 for any success.
func statusOf(t *testing.T, token, method, path string, in any) int {
	t.Helper()
	err := server.TokenAPI(t.Context(), token, method, path, in, nil)
	if err == nil {
		return http.StatusOK
	}
	status, ok := errors.AsType[*giteatest.StatusError](err)
	require.True(t, ok, err)
	return status.Status
}

// listed is a token as Gitea lists it.
type listed struct {
	ID     int64    `json:"id"`
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
}

func tokensOf(t *testing.T, account string) []listed {
	t.Helper()
	var tokens []listed
	require.NoError(t, server.API(t.Context(), http.MethodGet, "/users/"+account+"/tokens", nil, &tokens))
	return tokens
}

// accessTo is the account's access to a repository: none, read, write, admin.
func (w world) accessTo(t *testing.T, account, repository string) string {
	t.Helper()
	var answer struct {
		Permission string `json:"permission"`
	}
	path := "/repos/" + w.organization + "/" + repository + "/collaborators/" + account + "/permission"
	require.NoError(t, server.API(t.Context(), http.MethodGet, path, nil, &answer))
	return answer.Permission
}
