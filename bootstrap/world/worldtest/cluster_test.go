// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package worldtest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world/worldtest"
)

func TestThreeNodes(t *testing.T) {
	t.Parallel()
	vault := worldtest.StartVault(t, world.Options{Nodes: 3})
	require.NoError(t, vault.MountBuiltin(t.Context(), "kv", "kv"))
	vault.Root().Must("kv/one", map[string]any{"word": "first"})

	first := vault.Leader()
	require.Same(t, vault.Nodes[0], first)
	standby := vault.On(vault.Nodes[2], vault.RootToken())
	require.Equal(t, "first", standby.Read("kv/one").Data["word"], "a standby forwards")

	second := vault.StepDown()
	require.NotSame(t, first, second)

	require.NoError(t, second.Kill())
	third := vault.WaitLeader(second)
	require.Equal(t, "first", vault.On(third, vault.RootToken()).Read("kv/one").Data["word"])

	require.NoError(t, second.Restart(t.Context()))
	status, err := second.Health(t.Context())
	require.NoError(t, err)
	require.Equal(t, http.StatusTooManyRequests, status, "back as a standby")

	paths := vault.Audit().Under("kv/")
	require.Len(t, paths, 6, "one file for all leaders")
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	vault := worldtest.StartVault(t, world.Options{})
	require.NoError(t, vault.MountBuiltin(t.Context(), "kv", "kv"))
	root := vault.Root()
	root.Must("kv/one", map[string]any{"word": "before"})
	snapshot := vault.Snapshot()
	root.Must("kv/one", map[string]any{"word": "after"})

	vault.Restore(snapshot, false)
	require.Equal(t, "before", root.Read("kv/one").Data["word"])

	other := worldtest.StartVault(t, world.Options{})
	require.Error(t, other.Vault.Restore(t.Context(), snapshot, false), "another Vault's keys")
	other.Restore(snapshot, true)
	require.Equal(t, vault.RootToken(), other.RootToken())
	require.Equal(t, "before", other.Root().Read("kv/one").Data["word"])
	other.Restart()
	require.Equal(t, "before", other.Root().Read("kv/one").Data["word"])
}
