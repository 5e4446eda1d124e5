// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package worldtest is package world for tests: what fails ends the test, and
// what was started ends with it.
package worldtest

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
)

const (
	// startTimeout is for a machine that is busy with other tests; an idle one
	// needs about two seconds, seven for three nodes.
	startTimeout = 2 * time.Minute
	// logTail is how many lines of each server's log a failed test shows.
	logTail = 150
)

// Vault is a world.Vault that lives as long as a test. Where a method of the
// same name is here, it has neither context nor error.
type Vault struct {
	*world.Vault

	t testing.TB
}

// StartVault starts a Vault that is closed when the test ends. A machine
// without a Vault binary fails the test: skipping would hide that nothing was
// tested.
func StartVault(t testing.TB, options world.Options) *Vault {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	vault, err := world.StartVault(ctx, options)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(vault.LogTail(logTail))
		}
		require.NoError(t, vault.Close())
	})
	return &Vault{Vault: vault, t: t}
}

// For is the same Vault for a subtest, which then is what fails.
func (v *Vault) For(t testing.TB) *Vault { return &Vault{Vault: v.Vault, t: t} }

// context of one step: long enough for any, short enough to end before the
// test binary's own limit.
func (v *Vault) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(v.t.Context(), startTimeout)
}

// engine builds the engine once for a test process: all its tests run the same.
var engine = sync.OnceValues(func() (string, error) {
	root, err := world.Root()
	if err != nil {
		return "", err
	}
	out := filepath.Join(root, "bin", "vault-plugin-secrets-ci")
	return out, world.BuildPlugin(context.Background(), world.EnginePackage, out)
})

// BuildPlugin builds the engine, once for a test process, and returns it
// unregistered, for Args and Env to be added.
func BuildPlugin(t testing.TB) world.Plugin {
	t.Helper()
	out, err := engine()
	require.NoError(t, err)
	return world.Plugin{Binary: out}
}

// Register registers a plugin and returns it with name and version.
func (v *Vault) Register(plugin world.Plugin) world.Plugin {
	v.t.Helper()
	ctx, cancel := v.context()
	defer cancel()
	registered, err := v.Vault.Register(ctx, plugin)
	require.NoError(v.t, err)
	return registered
}

// Mount enables a registered plugin at the path.
func (v *Vault) Mount(path string, plugin world.Plugin, config api.MountConfigInput) {
	v.t.Helper()
	ctx, cancel := v.context()
	defer cancel()
	require.NoError(v.t, v.Vault.Mount(ctx, path, plugin, config))
}

// Restart restarts all nodes on the same data and unseals them.
func (v *Vault) Restart() {
	v.t.Helper()
	ctx, cancel := v.context()
	defer cancel()
	require.NoError(v.t, v.Vault.Restart(ctx))
}

// Leader is the node that leads, waited for.
func (v *Vault) Leader() *world.Node {
	v.t.Helper()
	return v.WaitLeader(nil)
}

// WaitLeader waits for a leader other than the given one.
func (v *Vault) WaitLeader(not *world.Node) *world.Node {
	v.t.Helper()
	ctx, cancel := v.context()
	defer cancel()
	leader, err := v.Vault.WaitLeader(ctx, not)
	require.NoError(v.t, err)
	return leader
}

// StepDown makes the leader give up and returns the next.
func (v *Vault) StepDown() *world.Node {
	v.t.Helper()
	ctx, cancel := v.context()
	defer cancel()
	leader, err := v.Vault.StepDown(ctx)
	require.NoError(v.t, err)
	return leader
}

// Seal seals the leader.
func (v *Vault) Seal() {
	v.t.Helper()
	ctx, cancel := v.context()
	defer cancel()
	leader, err := v.Vault.WaitLeader(ctx, nil)
	require.NoError(v.t, err)
	require.NoError(v.t, leader.Seal(ctx))
}

// Unseal unseals every node that runs and waits for a leader.
func (v *Vault) Unseal() {
	v.t.Helper()
	ctx, cancel := v.context()
	defer cancel()
	require.NoError(v.t, v.Vault.Unseal(ctx))
}

// KillPlugins kills the plugin processes of the leader and says which.
func (v *Vault) KillPlugins() []int {
	v.t.Helper()
	ctx, cancel := v.context()
	defer cancel()
	leader, err := v.Vault.WaitLeader(ctx, nil)
	require.NoError(v.t, err)
	pids, err := leader.KillPlugins(ctx)
	require.NoError(v.t, err)
	return pids
}

// Snapshot takes a raft snapshot.
func (v *Vault) Snapshot() *world.Snapshot {
	v.t.Helper()
	ctx, cancel := v.context()
	defer cancel()
	snapshot, err := v.Vault.Snapshot(ctx)
	require.NoError(v.t, err)
	return snapshot
}

// Restore restores a raft snapshot.
func (v *Vault) Restore(snapshot *world.Snapshot, force bool) {
	v.t.Helper()
	ctx, cancel := v.context()
	defer cancel()
	require.NoError(v.t, v.Vault.Restore(ctx, snapshot, force))
}
