// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/providertest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

// appPermissions are what the App of these tests has.
var appPermissions = map[string]string{"contents": "write", "packages": "read", "statuses": "write"}

// testKey is one key for all tests: making one takes a moment.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func keyPEM() string {
	der := x509.MarshalPKCS1PrivateKey(testKey())
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: der}))
}

// world is a simulated GitHub with one App installed on acme.
type world struct {
	*githubtest.Simulator
	app githubtest.App
	in  githubtest.Installation
}

func newWorld(t *testing.T, o githubtest.Options) *world {
	t.Helper()
	w := &world{Simulator: githubtest.Start(t, o)}
	w.AddRepositories("acme", "web", "api", "hidden")
	w.app = w.AddApp(githubtest.App{Permissions: appPermissions, Keys: []*rsa.PrivateKey{testKey()}})
	w.in = w.AddInstallation(githubtest.Installation{AppID: w.app.ID, Account: "acme", Repositories: []string{"web", "api"}})
	return w
}

func (w *world) settings() providers.Settings {
	return providers.Settings{
		BaseURL: w.URL(),
		Values:  map[string]string{fieldAppID: fmt.Sprint(w.app.ID), fieldPrivateKey: keyPEM()},
		Now:     time.Now,
	}
}

// connect makes a connection with further values and a clock.
func (w *world) connect(t *testing.T, now func() time.Time, values ...string) *connection {
	t.Helper()
	s := w.settings()
	if now != nil {
		s.Now = now
	}
	for i := 0; i < len(values); i += 2 {
		s.Values[values[i]] = values[i+1]
	}
	return connectTo(t, s)
}

func connectTo(t *testing.T, s providers.Settings) *connection {
	t.Helper()
	client, err := transport.New(transport.Options{})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	s.Client = client
	c, err := newConnection(s)
	require.NoError(t, err)
	c.pauses = []time.Duration{time.Millisecond, time.Millisecond}
	c.retries = []time.Duration{time.Millisecond, 10 * time.Millisecond}
	return c
}

func permissions(t *testing.T, list ...string) []providers.Permission {
	t.Helper()
	p, err := providers.ParsePermissions("permissions", list)
	require.NoError(t, err)
	return p
}

func acmeGrant(t *testing.T, list ...string) providers.Grant {
	t.Helper()
	return providers.Grant{Account: "acme", Repositories: []string{"web", "api"}, Permissions: permissions(t, list...)}
}

func requireFault(t *testing.T, err error, kind fault.Kind, says ...string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind.String(), fault.KindOf(err).String(), err.Error())
	for _, s := range says {
		require.ErrorContains(t, err, s)
	}
}

func TestConformance(t *testing.T) {
	providertest.Run(t, providertest.Harness{Platform: Platform(), NewSite: newSite})
}

func newSite(t *testing.T) providertest.Site {
	w := newWorld(t, githubtest.Options{Validate: true})
	refused := acmeGrant(t, "contents=read")
	refused.Repositories = []string{"web", "hidden"}
	narrower := acmeGrant(t, "contents=read")
	narrower.Repositories = []string{"web"}
	return providertest.Site{
		Settings: w.settings(),
		Grant:    acmeGrant(t, "contents=write", "statuses=write", "metadata=read"),
		Narrower: narrower,
		Refused:  refused,
		IsLive: func(_ *testing.T, secret string) bool {
			return w.StateOf(secret) == githubtest.Live
		},
		CountLive: func(*testing.T) int { return w.Live() },
		Tampers: []providertest.Tamper{{
			Name: "fewer repositories", Method: http.MethodPost,
			Rewrite: func(body []byte) []byte {
				start := bytes.Index(body, []byte(`"repositories":[`))
				return append(body[:start:start], []byte(`"repositories":[{"name":"web","full_name":"acme/web"}]}`)...)
			},
			Check: func(t *testing.T, token *providers.Token, err error) {
				require.NoError(t, err)
				require.Equal(t, []string{"web"}, token.Repositories)
			},
		}, {
			Name: "all repositories", Method: http.MethodPost,
			Rewrite: func(body []byte) []byte {
				return bytes.Replace(body, []byte(`"repository_selection":"selected"`), []byte(`"repository_selection":"all"`), 1)
			},
			Check: func(t *testing.T, token *providers.Token, err error) {
				require.NoError(t, err)
				require.Equal(t, []string{"*"}, token.Repositories)
			},
		}, {
			Name: "more permissions", Method: http.MethodPost,
			Rewrite: func(body []byte) []byte {
				return bytes.Replace(body, []byte(`"permissions":{`), []byte(`"permissions":{"administration":"write",`), 1)
			},
			Check: func(t *testing.T, token *providers.Token, err error) {
				require.NoError(t, err)
				require.Equal(t, []string{"administration=write", "contents=write", "metadata=read", "statuses=write"},
					providers.FormatPermissions(token.Permissions))
			},
		}, {
			Name: "another account", Method: http.MethodPost,
			Rewrite: func(body []byte) []byte {
				return bytes.ReplaceAll(body, []byte(`"full_name":"acme/`), []byte(`"full_name":"evil/`))
			},
			Check: func(t *testing.T, _ *providers.Token, err error) {
				requireFault(t, err, fault.Refused, "another account than acme")
			},
		}},
	}
}

func TestPlatformDeclaresWhatTheDocumentationSays(t *testing.T) {
	p := Platform()
	var names []string
	for _, f := range p.Fields {
		names = append(names, f.Name)
	}
	require.Equal(t, "app_id private_key organization installation_id", strings.Join(names, " "))
	require.Equal(t, "https://api.github.com", p.DefaultBaseURL)
}
