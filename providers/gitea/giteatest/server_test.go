// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package giteatest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea/giteatest"
)

func TestServer(t *testing.T) {
	start := time.Now()
	s := giteatest.New(t)
	t.Logf("started in %s", time.Since(start))
	require.NoError(t, s.CreateOrganization(t.Context(), "acme"))
	require.NoError(t, s.CreateRepository(t.Context(), "acme", "web"))
	require.NoError(t, s.CommitFile(t.Context(), "acme", "web", "hello.txt", "hello"))
	var repository struct {
		FullName string `json:"full_name"`
		Private  bool   `json:"private"`
		Empty    bool   `json:"empty"`
	}
	require.NoError(t, s.API(t.Context(), http.MethodGet, "/repos/acme/web", nil, &repository))
	require.Equal(t, "acme/web", repository.FullName)
	require.True(t, repository.Private)
	require.False(t, repository.Empty)

	require.NoError(t, s.Close())
	require.Error(t, s.API(t.Context(), http.MethodGet, "/version", nil, nil), "it answers after Close")
}

func TestWithoutGitea(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("PATH", t.TempDir())
	_, err := giteatest.Start(t.Context())
	require.ErrorContains(t, err, "make gitea")
}
