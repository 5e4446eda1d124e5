// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestShortToken(t *testing.T) {
	form := regexp.MustCompile(`^ghs_[0-9A-Za-z]{36}$`)
	seen := map[string]bool{}
	for range 100 {
		token := shortToken()
		require.Regexp(t, form, token)
		require.Equal(t, token[34:], checksum([]byte(token[4:34])))
		require.False(t, seen[token])
		seen[token] = true
	}
	// The check value of CRC-32 is cbf43926: 3,421,780,262.
	require.Equal(t, "3jZRME", checksum([]byte("123456789")))
}

func TestLongToken(t *testing.T) {
	s := start(t, Options{LongTokens: true, Validate: true})
	token := s.token(nil)
	require.Regexp(t, regexp.MustCompile(`^ghs_[0-9]+_[\w-]+\.[\w-]+\.[\w-]+$`), token)
	require.InDelta(t, 520, len(token), 30)
	require.Equal(t, 2, strings.Count(token, "."))
	require.Equal(t, http.StatusOK, s.asToken(token, "GET", "/repos/acme/web", nil).status)
	require.Equal(t, http.StatusNoContent, s.asToken(token, "DELETE", "/installation/token", nil).status)
	require.NotEqual(t, longToken(1, 2, time.Time{}), longToken(1, 2, time.Time{}))
}
