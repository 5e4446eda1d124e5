// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

func TestMainJob(t *testing.T) {
	s := newStand(t, world.Options{}, githubtest.Options{})

	t.Run("a read makes a token and the end of the lease kills it", func(t *testing.T) {
		s.role("short", map[string]any{"ttl": 2, "max_ttl": 4})
		answer := s.For(t).Root().Read("ci/creds/short")
		require.Equal(t, 200, answer.Status, answer.Errors)
		token := answer.Data["token"].(string)
		require.True(t, s.github.StateOf(token) == githubtest.Live, s.github.StateOf(token))
		eventually(t, 20*time.Second, "token dead at the platform", func() bool { return s.github.StateOf(token) != githubtest.Live })
		require.NotContains(t, "", "x")
	})
}
