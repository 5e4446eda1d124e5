// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/providertest"
)

// TestConformance holds the provider to its contract on a real Gitea.
func TestConformance(t *testing.T) {
	providertest.Run(t, providertest.Harness{Platform: gitea.Platform(), NewSite: newSite})
}

func newSite(t *testing.T) providertest.Site {
	w := newWorld(t)
	// The suite counts the requests of a first Mint and expects as many of each; the
	// making of the account has tests of its own.
	c := connect(t, w.settings)
	token, handle := mint(t, c, w.grant(t, "repository=write"))
	require.NoError(t, c.Revoke(t.Context(), handle))
	account := token.Username

	refused := w.grant(t, "repository=write")
	refused.Repositories = []string{"no-such-repository"}
	refused.Subject += "/refused"
	return providertest.Site{
		Settings:     w.settings,
		Grant:        w.grant(t, "repository=write", "issue=read"),
		Narrower:     w.grant(t, "repository=read"),
		Refused:      refused,
		NeverExpires: true,
		IsLive: func(t *testing.T, secret string) bool {
			status := statusOf(t, secret, http.MethodGet, "/repos/"+w.organization+"/web", nil)
			require.Contains(t, []int{http.StatusOK, http.StatusUnauthorized}, status)
			return status == http.StatusOK
		},
		CountLive: func(t *testing.T) int { return len(tokensIfAny(t, account)) },
		Tampers: []providertest.Tamper{{
			Name: "a wider scope", Method: http.MethodPost,
			Rewrite: func(body []byte) []byte {
				return bytes.ReplaceAll(body, []byte(`"read:issue"`), []byte(`"write:issue"`))
			},
			Check: func(t *testing.T, token *providers.Token, err error) {
				require.NoError(t, err)
				require.Contains(t, token.Permissions, providers.Permission{Resource: "issue", Level: providers.Write})
			},
		}, {
			Name: "a scope for everything", Method: http.MethodPost,
			Rewrite: func(body []byte) []byte {
				return bytes.ReplaceAll(body, []byte(`"read:issue"`), []byte(`"all"`))
			},
			Check: func(t *testing.T, token *providers.Token, err error) {
				require.ErrorContains(t, err, `"all"`)
				require.Nil(t, token)
				require.Empty(t, tokensOf(t, account), "what was granted too much still lives")
			},
		}},
	}
}

// TestConformanceForgejo holds it to its contract where tokens can be limited.
func TestConformanceForgejo(t *testing.T) {
	providertest.Run(t, providertest.Harness{Platform: gitea.Platform(), NewSite: newForgejoSite})
}

func newForgejoSite(t *testing.T) providertest.Site {
	f, w := forgejoWorld(t)
	c := connect(t, w.settings)
	wide := w.grant(t, "repository=write", "issue=read")
	wide.Repositories = []string{"web", "api"}
	_, handle := mint(t, c, wide)
	require.NoError(t, c.Revoke(t.Context(), handle))
	narrower := w.grant(t, "repository=read")
	narrower.Narrowed = true
	refused := wide
	refused.Repositories = []string{"no-such-repository"}
	return providertest.Site{
		Settings: w.settings, Grant: wide, Narrower: narrower, Refused: refused, NeverExpires: true,
		IsLive:    func(_ *testing.T, secret string) bool { return f.Reaches(secret, "acme/web") },
		CountLive: func(*testing.T) int { return f.Live() },
		Tampers: []providertest.Tamper{{
			Name: "another repository", Method: http.MethodPost,
			Rewrite: func(body []byte) []byte {
				return bytes.ReplaceAll(body, []byte(`"name":"api"`), []byte(`"name":"docs"`))
			},
			Check: func(t *testing.T, token *providers.Token, err error) {
				require.NoError(t, err)
				require.Equal(t, []string{"web", "docs"}, token.Repositories, "the server's word is not passed on")
			},
		}},
	}
}

// tokensIfAny is tokensOf for an account that may be gone.
func tokensIfAny(t *testing.T, account string) []listed {
	t.Helper()
	if server.API(t.Context(), http.MethodGet, "/users/"+account, nil, nil) != nil {
		return nil
	}
	return tokensOf(t, account)
}
