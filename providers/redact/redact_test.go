// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package redact

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"build log of acme/web, line 12":                    "build log of acme/web, line 12",
		"ghs_16C7e42F292c6912E7710c838347Ae178B4a in a log": Mark + " in a log",
		"https://x:glpat-abcdefghijk12345@host/path":        "https://" + Mark + "@host/path",
		"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl": Mark,
		"sha 0123456789abcdef0123456789abcdef01234567":      "sha " + Mark,
		"two\nlines": "two lines",
		"a-long-but-innocent-name-without-any-number-in-it-whatsoever": "a-long-but-innocent-name-without-any-number-in-it-whatsoever",
		"\x1b[32mghs_16C7e42F292c6912E7710c838347Ae178B4a":             "\x1b[32m" + Mark,
		"hvs.CAESIJlWh8example0123456789":                              Mark,
	} {
		require.Equal(t, want, Text(in, ""))
	}
	require.Equal(t, "token "+Mark, Text("token s3cret", "s3cret"))
	require.Len(t, Text(strings.Repeat("word ", 1000), ""), 500+len("…"))
}

func TestError(t *testing.T) {
	require.Equal(t, "it says: invalid_token "+Mark+" and Bearer "+Mark,
		Error("it says: invalid token ghs_0123456789abcdef and Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln"))
	plain := `approval: "ap-1" is void: role, stage, environment, config or issuer changed since`
	require.Equal(t, plain, Error(plain))
}
