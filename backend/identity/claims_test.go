// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
)

func TestClaimsKeepWhatIsWritten(t *testing.T) {
	claims, err := identity.ParseClaims([]byte(`{
		"string": "acme/web", "empty": "", "escaped": "a\u002fb", "integer": 123, "large": 12345678901234567890,
		"beyond": 9007199254740993, "fraction": 1.0, "power": 1e3, "true": true, "false": false,
		"null": null, "list": ["a"], "object": {"a": 1}}`))
	require.NoError(t, err)
	for claim, want := range map[string]string{
		"string": "acme/web", "empty": "", "escaped": "a/b", "integer": "123", "large": "12345678901234567890",
		"beyond": "9007199254740993", "fraction": "1.0", "power": "1e3", "true": "true", "false": "false",
	} {
		text, ok := claims.Text(claim)
		require.True(t, ok, claim)
		require.Equal(t, want, text, claim)
	}
	for _, claim := range []string{"null", "list", "object", "missing", "", "STRING"} {
		text, ok := claims.Text(claim)
		require.False(t, ok, claim)
		require.Empty(t, text)
	}
}

func TestClaimsRefuse(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":             "",
		"null":                "null",
		"a list":              "[]",
		"a string":            `"a"`,
		"half an object":      `{"a":1`,
		"two objects":         `{"a":1}{"b":2}`,
		"something after":     `{"a":1} x`,
		"a claim twice":       `{"repository":"acme/web","repository":"mallory/web"}`,
		"a claim twice below": `{"a":{"b":1,"b":2}}`,
		"twice by escape":     `{"ref":"a","\u0072ef":"b"}`,
		"not UTF-8":           "{\"a\":\"\xff\"}",
	} {
		_, err := identity.ParseClaims([]byte(text))
		require.Error(t, err, name)
	}
}
