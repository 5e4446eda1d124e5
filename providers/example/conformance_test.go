// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package example_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/example"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/example/exampletest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/providertest"
)

// TestConformance holds the provider to the contract.
func TestConformance(t *testing.T) {
	providertest.Run(t, providertest.Harness{Platform: example.Platform(), NewSite: newSite})
}

func newSite(t *testing.T) providertest.Site {
	platform := exampletest.New(time.Now, "acme/web", "acme/api")
	server := httptest.NewServer(platform)
	t.Cleanup(server.Close)
	grant := func(repositories []string, permission string) providers.Grant {
		permissions, err := providers.ParsePermissions("permissions", []string{permission})
		require.NoError(t, err)
		return providers.Grant{Account: "acme", Repositories: repositories, Permissions: permissions}
	}
	return providertest.Site{
		Settings:  providers.Settings{BaseURL: server.URL, Values: map[string]string{"token": platform.Token}},
		Grant:     grant([]string{"web", "api"}, "code=write"),
		Narrower:  grant([]string{"web"}, "code=read"),
		Refused:   grant([]string{"no-such-repository"}, "code=read"),
		IsLive:    func(_ *testing.T, secret string) bool { return slices.Contains(platform.Live(), secret) },
		CountLive: func(*testing.T) int { return len(platform.Live()) },
		Tampers: []providertest.Tamper{{
			Name: "more than was asked", Method: http.MethodPost,
			Rewrite: func(body []byte) []byte {
				return bytes.ReplaceAll(body, []byte("code=write"), []byte("settings=admin"))
			},
			Check: func(t *testing.T, token *providers.Token, err error) {
				require.NoError(t, err)
				require.Equal(t, []providers.Permission{{Resource: "settings", Level: providers.Admin}}, token.Permissions)
			},
		}},
	}
}
