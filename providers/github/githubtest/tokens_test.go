// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const revocation = "/installation/token"

func TestRevoke(t *testing.T) {
	s := start(t, Options{Validate: true})
	token := s.token(want("web", "contents", "read"))
	require.Equal(t, http.StatusOK, s.asToken(token, "GET", "/repos/acme/web", nil).status)
	s.clock.add(time.Minute)
	require.Equal(t, http.StatusNoContent, s.asToken(token, "DELETE", revocation, nil).status)

	require.Equal(t, Revoked, s.StateOf(token))
	require.Zero(t, s.Live())
	require.True(t, s.Tokens()[0].RevokedAt.Equal(s.clock.Now()))
	for _, method := range []string{"GET /repos/acme/web", "DELETE " + revocation, "GET /installation/repositories"} {
		verb, path := split(method)
		r := s.asToken(token, verb, path, nil)
		require.Equal(t, http.StatusUnauthorized, r.status, method)
		require.Equal(t, msgCredentials, r.message())
	}
	require.Equal(t, http.StatusUnauthorized, s.asToken("ghs_unknown", "DELETE", revocation, nil).status)
	require.Equal(t, http.StatusUnauthorized, s.asToken(s.jwt(), "DELETE", revocation, nil).status)
	r := s.do("DELETE", revocation, "", nil)
	require.Equal(t, http.StatusUnauthorized, r.status)
	require.Equal(t, msgRequiresLogin, r.message())
}

func TestTokenSchemes(t *testing.T) {
	s := start(t, Options{Validate: true})
	token := s.token(nil)
	basic := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + token))
	for _, authorization := range []string{"Bearer " + token, "token " + token, "Basic " + basic} {
		require.Equal(t, http.StatusOK, s.do("GET", "/repos/acme/web", authorization, nil).status)
	}
}

func TestExpiry(t *testing.T) {
	s := start(t, Options{Validate: true})
	token := s.token(nil)
	s.clock.add(time.Hour - time.Second)
	require.Equal(t, http.StatusOK, s.asToken(token, "GET", "/repos/acme/web", nil).status)
	s.clock.add(time.Second)
	require.Equal(t, Expired, s.StateOf(token))
	require.Zero(t, s.Live())
	require.Equal(t, http.StatusUnauthorized, s.asToken(token, "GET", "/repos/acme/web", nil).status)
	require.Equal(t, http.StatusUnauthorized, s.asToken(token, "DELETE", revocation, nil).status)
	require.Equal(t, Unknown, s.StateOf("ghs_never"))
}

func TestReplicationDelay(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		s := start(t, Options{ReplicationDelay: 2 * time.Second, ReplicationStatus: status, Validate: true})
		token := s.token(nil)
		require.Equal(t, status, s.asToken(token, "DELETE", revocation, nil).status)
		require.Equal(t, Live, s.StateOf(token), "not revoked by that")
		s.clock.add(2 * time.Second)
		require.Equal(t, http.StatusOK, s.asToken(token, "GET", "/repos/acme/web", nil).status)
		require.Equal(t, http.StatusNoContent, s.asToken(token, "DELETE", revocation, nil).status)
	}
}

func TestSuspensionAndUninstallation(t *testing.T) {
	s := start(t, Options{Validate: true})
	token := s.token(nil)
	s.Suspend(s.installation.ID)
	require.Equal(t, Suspended, s.StateOf(token))
	require.Equal(t, http.StatusForbidden, s.asToken(token, "GET", "/repos/acme/web", nil).status)
	s.Unsuspend(s.installation.ID)
	require.Equal(t, Live, s.StateOf(token))
	require.Equal(t, http.StatusOK, s.asToken(token, "GET", "/repos/acme/web", nil).status)
	s.Uninstall(s.installation.ID)
	require.Equal(t, Revoked, s.StateOf(token))
	require.Equal(t, http.StatusUnauthorized, s.asToken(token, "GET", "/repos/acme/web", nil).status)
	require.Equal(t, http.StatusNotFound, s.asApp("POST", s.mintPath(), nil).status)
}

func TestTokensTellNoSecret(t *testing.T) {
	s := start(t, Options{Validate: true})
	token := s.token(nil)
	hash := sha256.Sum256([]byte(token))
	require.Equal(t, base64.StdEncoding.EncodeToString(hash[:]), s.Tokens()[0].SHA256)
	told, err := json.Marshal(s.Tokens())
	require.NoError(t, err)
	require.NotContains(t, string(told), token)
	require.NotContains(t, string(told), "revoked_at")
}
