// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRequests(t *testing.T) {
	s := start(t, Options{Validate: true})
	token := s.token(want("web", "contents", "read"))
	s.asToken(token, "GET", "/repos/acme/web?leak="+token, nil)
	s.do("GET", "/"+s.jwt(), "nonsense", token)

	seen := s.Requests()
	require.Len(t, seen, 3)
	require.Equal(t, "POST", seen[0].Method)
	require.Equal(t, s.mintPath(), seen[0].Path)
	require.Equal(t, "POST /app/installations/{installation_id}/access_tokens", seen[0].Endpoint)
	require.JSONEq(t, `{"repositories": ["web"], "permissions": {"contents": "read"}}`, seen[0].Body)
	require.Equal(t, "Bearer [redacted]", seen[0].Header.Get("Authorization"))
	require.Equal(t, http.StatusCreated, seen[0].Status)
	require.Equal(t, "leak=[redacted]", seen[1].Query)
	require.Equal(t, "unknown", seen[2].Endpoint)
	require.Equal(t, "/[redacted]", seen[2].Path)
	require.Equal(t, "[redacted]", seen[2].Body)
	require.Empty(t, seen[2].Header.Get("Authorization"))
	told, err := json.Marshal(seen)
	require.NoError(t, err)
	require.NotContains(t, string(told), token)
	require.NotContains(t, string(told), "eyJ")

	require.Equal(t, 1, s.Counts()["GET /repos/{owner}/{repo}"])
	require.Equal(t, 1, s.MaxConcurrent())
	s.ClearRequests()
	require.Empty(t, s.Requests())
	require.Empty(t, s.Counts())
	require.Zero(t, s.MaxConcurrent())
}

func TestJournalForgetsTheOldest(t *testing.T) {
	j := newJournal()
	for range 2*journalLength + 1 {
		r := &Request{Endpoint: "e"}
		j.open(r)
		j.close(r, http.StatusOK)
	}
	require.Len(t, j.list, journalLength+1)
	require.Equal(t, 2*journalLength+1, j.counts["e"])
}
