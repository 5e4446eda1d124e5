// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea/giteatest"
)

// forgejoWorld is a world on a simulated Forgejo 15.
func forgejoWorld(t *testing.T) (*giteatest.Forgejo, world) {
	t.Helper()
	f := giteatest.NewForgejo(t, "acme/web", "acme/api", "acme/docs")
	return f, world{organization: "acme", subject: "secrets_ci_1/role", settings: providers.Settings{
		BaseURL: f.URL, Values: map[string]string{"username": f.Admin, "password": f.Password},
	}}
}

func TestForgejoNarrowsTokens(t *testing.T) {
	f, w := forgejoWorld(t)
	c := connect(t, w.settings)
	require.NoError(t, c.Verify(t.Context()))

	whole := w.grant(t, "repository=write")
	whole.Repositories = []string{"web", "api"}
	wide, wideHandle := mint(t, c, whole)
	require.ElementsMatch(t, []string{"web", "api"}, wide.Repositories)

	narrower := w.grant(t, "repository=read")
	narrower.Repositories, narrower.Narrowed = []string{"API"}, true
	require.NoError(t, c.Check(narrower))
	narrow, narrowHandle := mint(t, c, narrower)
	require.Equal(t, []string{"api"}, lower(narrow.Repositories))
	require.True(t, f.Reaches(narrow.Secret, "acme/api"))
	require.False(t, f.Reaches(narrow.Secret, "acme/web"))
	require.True(t, f.Reaches(wide.Secret, "acme/web"), "narrowing one token took from another")
	require.True(t, f.Reaches(wide.Secret, "acme/api"))

	for _, h := range []providers.Handle{wideHandle, narrowHandle} {
		require.NoError(t, c.Revoke(t.Context(), h))
	}
	require.Zero(t, f.Live())
}

// A role with patterns has only narrowed grants, each with its own repositories.
func TestForgejoGrowsForPatterns(t *testing.T) {
	f, w := forgejoWorld(t)
	c := connect(t, w.settings)
	for _, repository := range []string{"web", "api", "docs"} {
		g := w.grant(t, "repository=read")
		g.Repositories, g.Narrowed = []string{repository}, true
		token, _ := mint(t, c, g)
		for _, other := range []string{"web", "api", "docs"} {
			require.Equal(t, other == repository, f.Reaches(token.Secret, "acme/"+other))
		}
	}
}

func TestForgejoThatDoesNotLimitTheToken(t *testing.T) {
	f, w := forgejoWorld(t)
	f.Deaf = true
	token, err := connect(t, w.settings).Mint(t.Context(), w.grant(t, "repository=read"))
	require.Equal(t, fault.Refused, fault.KindOf(err), err)
	require.Nil(t, token)
	require.Zero(t, f.Live(), "a token without limits lives")
}

func TestOnlyForgejo15Narrows(t *testing.T) {
	for version, narrows := range map[string]bool{
		"15.0.0+gitea-1.22.0": true, "16.1.2-dev-7+gitea-1.22.0": true, "100.0.0+gitea-1.30.0": true,
		"14.0.2+gitea-1.22.0": false, "7.0.0+gitea-1.21.0": false, "1.26.0": false, "15.0.0": false, "1.27.0+dev-15": false,
	} {
		f, w := forgejoWorld(t)
		f.Version = version
		c := connect(t, w.settings)
		g := w.grant(t, "repository=read")
		g.Narrowed = true
		require.NoError(t, c.Check(g), "Check guesses before the server was asked")
		_, err := c.Mint(t.Context(), g)
		again := c.Check(g)
		if narrows {
			require.NoError(t, err, version)
			require.NoError(t, again, version)
			continue
		}
		for _, err := range []error{err, again} {
			require.Equal(t, fault.Invalid, fault.KindOf(err), version)
			require.ErrorContains(t, err, "repositories: ")
			require.ErrorContains(t, err, version)
		}
		require.Zero(t, f.Live())
	}
}

func lower(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}
