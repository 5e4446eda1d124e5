// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
)

// systemFresh is how long what Vault says of the mount serves. Each question is a
// round trip between two processes, and every request has three of them; the
// answers change when an operator tunes the mount or this node takes another part
// in the cluster, which Vault enforces by itself as well.
const systemFresh = time.Second

// steadySystem is Vault's view of the mount, asked once a second.
type steadySystem struct {
	logical.SystemView
	maxLeaseTTL      kept[time.Duration]
	replicationState kept[consts.ReplicationState]
	localMount       kept[bool]
}

func newSteadySystem(system logical.SystemView, now func() time.Time) *steadySystem {
	s := &steadySystem{SystemView: system}
	s.maxLeaseTTL = kept[time.Duration]{ask: system.MaxLeaseTTL, now: now}
	s.replicationState = kept[consts.ReplicationState]{ask: system.ReplicationState, now: now}
	s.localMount = kept[bool]{ask: system.LocalMount, now: now}
	return s
}

// MaxLeaseTTL is the least of the mount's and the system's.
func (s *steadySystem) MaxLeaseTTL() time.Duration { return s.maxLeaseTTL.get() }

// ReplicationState is this node's part in the cluster.
func (s *steadySystem) ReplicationState() consts.ReplicationState { return s.replicationState.get() }

// LocalMount reports whether the mount is not replicated.
func (s *steadySystem) LocalMount() bool { return s.localMount.get() }

// kept is one answer.
type kept[T any] struct {
	ask func() T
	now func() time.Time

	mu    sync.Mutex
	value T
	asked time.Time
}

// get gives the answer. Who finds it stale asks, and nobody waits for another: a
// question takes less than a millisecond.
func (k *kept[T]) get() T {
	now := k.now()
	k.mu.Lock()
	value, asked := k.value, k.asked
	k.mu.Unlock()
	if age := now.Sub(asked); !asked.IsZero() && age >= 0 && age < systemFresh {
		return value
	}
	value = k.ask()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.value, k.asked = value, now
	return value
}
