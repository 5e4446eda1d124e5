// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// upgrade issues credentials with one version and lives on with the next, on the
// same command that made the mount.
func (s *site) upgrade(t *testing.T) {
	root := s.For(t).Root()
	issue := func() world.Answer {
		got := root.Read("ci/creds/build-web")
		require.Equal(t, 200, got.Status, got.Errors)
		return got
	}
	live := func(credential world.Answer) bool {
		return s.github.StateOf(credential.Data["token"].(string)) == githubtest.Live
	}
	renew := func(credential world.Answer) world.Answer {
		return root.Write("sys/leases/renew", map[string]any{"lease_id": credential.LeaseID, "increment": 300})
	}
	revoke := func(credential world.Answer) int {
		return root.Write("sys/leases/revoke/"+credential.LeaseID, nil).Status
	}

	renewed, revoked, killed := issue(), issue(), issue()
	s.role("short", map[string]any{"ttl": 5, "max_ttl": 5})
	short := root.Read("ci/creds/short")
	require.Equal(t, 200, short.Status, short.Errors)

	require.Contains(t, s.mustBootstrap("v0.1.1"), "upgraded ci/ from v0.1.0 to v0.1.1")
	require.Equal(t, "v0.1.1", root.Read("ci/info").Data["version"])
	require.Equal(t, "v0.1.1", root.Read("sys/mounts/ci").Data["running_plugin_version"])

	t.Run("old leases renew, are revoked, and end", func(t *testing.T) {
		again := renew(renewed)
		require.Equal(t, 200, again.Status, again.Errors)
		require.True(t, live(renewed))

		require.Equal(t, 204, revoke(revoked))
		require.False(t, live(revoked))

		record := root.Write("ci/tokens/"+killed.Data["token_id"].(string)+"/revoke", nil)
		require.Equal(t, "kill", record.Data["revoked_by"], record.Errors)
		require.False(t, live(killed))

		eventually(t, time.Minute, "the short lease ended", func() bool { return !live(short) })
	})

	t.Run("new credentials are made", func(t *testing.T) {
		fresh := issue()
		require.True(t, live(fresh))
		require.Equal(t, 204, revoke(fresh))
	})

	t.Run("a second run changes nothing", func(t *testing.T) {
		before := s.state()
		require.Contains(t, s.mustBootstrap("v0.1.1"), "ci/ runs v0.1.1")
		require.Equal(t, before, s.state())
	})

	t.Run("a version that does not start gives way to the one before", func(t *testing.T) {
		program, err := os.ReadFile(s.program("v0.1.0"))
		require.NoError(t, err)
		sum := sha256.Sum256(program)
		require.NoError(t, os.WriteFile(s.program("v0.1.0"), []byte("not what was registered"), 0o700))
		output := s.bootstrap("v0.1.0", "--sha256", hex.EncodeToString(sum[:]))
		require.NoError(t, os.WriteFile(s.program("v0.1.0"), program, 0o700))
		require.Equal(t, 1, output.Code, output.Stdout)
		require.Contains(t, output.Stderr, "ci/ runs v0.1.1 again")
		require.Equal(t, "v0.1.1", root.Read("ci/info").Data["version"])
		require.Equal(t, 200, renew(renewed).Status)
	})

	t.Run("the way back is the same command", func(t *testing.T) {
		require.Contains(t, s.mustBootstrap("v0.1.0"), "upgraded ci/ from v0.1.1 to v0.1.0")
		require.Equal(t, "v0.1.0", root.Read("ci/info").Data["version"])
		require.Equal(t, 200, renew(renewed).Status)
		require.Equal(t, 204, revoke(renewed))
		require.False(t, live(renewed))
	})
}
