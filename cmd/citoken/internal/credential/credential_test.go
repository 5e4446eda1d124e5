// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package credential

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGitURL(t *testing.T) {
	for _, c := range []struct{ provider, base, want string }{
		{"github", "https://api.github.com", "https://github.com"},
		{"github", "https://ghe.example.com/api/v3", "https://ghe.example.com"},
		{"github", "https://api.acme.ghe.com", "https://acme.ghe.com"},
		{"gitlab", "https://gitlab.com", "https://gitlab.com"},
		{"gitlab", "https://git.example.com:8443/gitlab", "https://git.example.com:8443"},
		{"gitea", "http://127.0.0.1:3000", "http://127.0.0.1:3000"},
		{"gitea", "https://api.github.com.example.com", "https://api.github.com.example.com"},
	} {
		got, err := (&Credential{Provider: c.provider, BaseURL: c.base}).GitURL()
		require.NoError(t, err)
		require.Equal(t, c.want, got, c.base)
	}
	_, err := (&Credential{BaseURL: "nowhere"}).GitURL()
	require.ErrorContains(t, err, "is no URL")
}

func TestField(t *testing.T) {
	c := &Credential{Token: "t", Repositories: []string{"web", "api"}}
	for name, want := range map[string]string{"token": "t", "repositories": "web,api", "owner": ""} {
		got, err := c.Field(name)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, name := range []string{"", "leaseID", "mount", "colour"} {
		_, err := c.Field(name)
		require.ErrorContains(t, err, "have base_url", name)
	}
}
