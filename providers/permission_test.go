// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package providers_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func TestLevelAllows(t *testing.T) {
	for _, c := range []struct {
		has, asks providers.Level
		want      bool
	}{
		{providers.Write, providers.Read, true},
		{providers.Write, providers.Write, true},
		{providers.Read, providers.Write, false},
		{providers.Admin, providers.Write, true},
		{"", providers.Read, false},
		{providers.Admin, "owner", false}, // what nobody knows is allowed by nothing
	} {
		require.Equal(t, c.want, c.has.Allows(c.asks), "%q allows %q", c.has, c.asks)
	}
}

func TestParsePermissions(t *testing.T) {
	list := []string{"contents=write", "pull_requests=read", "organization_projects=admin"}
	permissions, err := providers.ParsePermissions("permissions", list)
	require.NoError(t, err)
	require.Equal(t, list, providers.FormatPermissions(permissions), "order and spelling are kept")

	for in, says := range map[string]string{
		"contents":       "not resource=level",
		"contents:read":  "not resource=level",
		"Contents=read":  "lower-case",
		"=read":          "lower-case",
		"contents=owner": "read, write or admin",
		"contents=":      "read, write or admin",
	} {
		_, err := providers.ParsePermissions("permissions", []string{in})
		require.True(t, fault.Is(err, fault.Invalid), in)
		require.ErrorContains(t, err, "permissions: ", in)
		require.ErrorContains(t, err, says, in)
	}
	_, err = providers.ParsePermissions("github", []string{"contents=read", "contents=write"})
	require.ErrorContains(t, err, "github: contents stands there twice")
}
