// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

func TestVaultIsAskedOnceASecondWhatHardlyChanges(t *testing.T) {
	clock := newClock()
	vault := &logical.StaticSystemView{MaxLeaseTTLVal: time.Hour, ReplicationStateVal: consts.ReplicationPerformanceDisabled}
	system := newSteadySystem(vault, clock.now)
	seen := func() []any { return []any{system.MaxLeaseTTL(), system.ReplicationState(), system.LocalMount()} }
	before := []any{time.Hour, consts.ReplicationPerformanceDisabled, false}
	require.Equal(t, before, seen())

	vault.MaxLeaseTTLVal, vault.ReplicationStateVal, vault.LocalMountVal = time.Minute, consts.ReplicationPerformanceStandby, true
	clock.advance(systemFresh - 1)
	require.Equal(t, before, seen(), "within the second the answer serves")
	clock.advance(1)
	require.Equal(t, []any{time.Minute, consts.ReplicationPerformanceStandby, true}, seen())

	vault.MaxLeaseTTLVal = time.Hour
	clock.advance(-time.Minute)
	require.Equal(t, time.Hour, system.MaxLeaseTTL(), "a clock that goes back keeps nothing")
	require.Equal(t, vault.DefaultLeaseTTL(), system.DefaultLeaseTTL(), "what is not kept is asked")
}
