// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// stubborn is a Vault whose logins cannot be revoked, as batch tokens cannot.
type stubborn struct {
	mu      sync.Mutex
	revoked []string
	// byLease says that the policy of the login has its leases.
	byLease bool
}

func (s *stubborn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	text := `{}`
	switch {
	case path == "auth/jwt/login":
		text = `{"auth": {"client_token": "hvb.job", "lease_duration": 3600}}`
	case path == "ci/creds/build":
		text = `{"lease_id": "ci/creds/build/1", "lease_duration": 120, "data": {"token": "ghs_secret", "username": "x", "token_id": "t1"}}`
	case path == "auth/token/revoke-self":
		w.WriteHeader(http.StatusBadRequest)
		text = `{"errors": ["batch tokens cannot be revoked"]}`
	case strings.Contains(path, "revoke") && (s.byLease || !strings.HasPrefix(path, "sys/leases/")):
		s.revoked = append(s.revoked, path)
	case strings.Contains(path, "revoke"):
		w.WriteHeader(http.StatusForbidden)
		text = `{"errors": ["permission denied"]}`
	}
	_, _ = w.Write([]byte(text))
}

func TestTheCredentialEndsWhereTheLoginCannot(t *testing.T) {
	for byLease, want := range map[bool]string{true: "sys/leases/revoke/ci/creds/build/1", false: "ci/tokens/t1/revoke"} {
		vault := &stubborn{byLease: byLease}
		server := httptest.NewServer(vault)
		t.Cleanup(server.Close)
		for name, value := range map[string]string{"VAULT_ADDR": server.URL, "VAULT_TOKEN": "", "JOB": "a.b.c", "HOME": t.TempDir(), "CI": ""} {
			t.Setenv(name, value)
		}
		var told bytes.Buffer
		arguments := []string{"exec", "-auth", "jwt", "-auth-mount", "jwt", "-id-token", "env:JOB", "-role", "build", "--", "true"}
		require.Equal(t, exitOK, run(arguments, streams{strings.NewReader(""), &told, &told}))
		require.Equal(t, []string{want}, vault.revoked)
		require.Equal(t, "citoken: exec: log out: Vault answers 400: batch tokens cannot be revoked; the login ends by itself\n", told.String())
	}
}
