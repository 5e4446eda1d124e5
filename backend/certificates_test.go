// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// certificate is that of an authority which nothing here is signed by.
func certificate(t *testing.T) string {
	t.Helper()
	return string(githubtest.Start(t, githubtest.Options{TLS: true}).CAPEM())
}

func TestAnAuthorityOfItsOwn(t *testing.T) {
	m := newMount(t)
	github := githubtest.Start(t, githubtest.Options{TLS: true, PathPrefix: "/api/v3", Now: m.clock.now})
	app, _ := github.Install("acme", appPermissions(), "web")
	enterprise := m.config(map[string]any{"base_url": github.URL(), "app_id": itoa(app.ID), "private_key": app.PrivateKeyPEM()})
	got := m.write("config/enterprise", enterprise)
	require.Equal(t, 503, got.status)
	require.Contains(t, got.err, "put that authority's certificate into ca_cert")

	enterprise["ca_cert"] = string(github.CAPEM())
	m.must("config/enterprise", enterprise)
	m.role("enterprise", map[string]any{"config": "enterprise"})
	credential := m.issue("enterprise")
	require.Equal(t, 1, github.Live())
	require.Empty(t, m.revoke(credential).err)
	require.Zero(t, github.Live())
}
