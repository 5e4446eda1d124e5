// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitcred

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	r, err := Parse(strings.NewReader("capability[]=authtype\nprotocol=https\nhost=github.com:8443\npath=acme/web.git\nwwwauth[]=Basic realm=\"x\"\n\nhost=later\n"))
	require.NoError(t, err)
	require.Equal(t, Request{Protocol: "https", Host: "github.com:8443", Path: "acme/web.git"}, r)
	require.Equal(t, "https://github.com:8443", r.Site())

	_, err = Parse(strings.NewReader("protocol\n"))
	require.ErrorContains(t, err, `a line without "="`)
	_, err = Parse(strings.NewReader("host=" + strings.Repeat("x", mostLine) + "\n"))
	require.ErrorContains(t, err, "too long")
}

func TestRepository(t *testing.T) {
	for path, want := range map[string]string{
		"": "", "acme/web.git": "acme/web", "acme/web": "acme/web", "/acme/web.git/": "acme/web",
		"acme/web.git/info/lfs": "acme/web", "acme/.github.git": "acme/.github", "group/sub/web.git": "group/sub/web",
	} {
		require.Equal(t, want, Request{Path: path}.Repository(), path)
	}
}

func TestAnswer(t *testing.T) {
	var out strings.Builder
	require.NoError(t, Answer(&out, "oauth2", "secret", time.Unix(1790000000, 0)))
	require.Equal(t, "username=oauth2\npassword=secret\npassword_expiry_utc=1790000000\n", out.String())
}
