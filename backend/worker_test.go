// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// Vault waits while a mount ends: not for a platform that hangs, nor for storage.
func TestTheEndOfAMountWaitsForNobodyLong(t *testing.T) {
	m := newMount(t)
	m.issue("build-dev")
	m.clock.advance(30 * time.Minute)
	hang := make(chan struct{})
	m.github.ClearRequests()
	m.github.Inject(githubtest.Fault{Match: revocations, Hang: hang})
	m.worker.start()
	require.Eventually(t, func() bool { return m.github.Counts()[revocations] > 0 }, 20*time.Second, 10*time.Millisecond)
	slow, writing := make(chan struct{}), make(chan struct{})
	var once sync.Once
	m.storage.watch(func(op, key string) error {
		if op == "put" && strings.HasPrefix(key, "events/") {
			once.Do(func() { close(writing) })
			<-slow
		}
		return nil
	}, nil)
	t.Cleanup(func() { close(slow); close(hang) })
	m.engine.Ledger.Note(ledger.Event{Type: ledger.EventKillDone, Time: m.clock.now()})
	<-writing
	began, ended := time.Now(), make(chan struct{})
	go func() {
		defer close(ended)
		m.Cleanup(t.Context())
	}()
	select {
	case <-ended:
		t.Log("it took", time.Since(began))
	case <-time.After(lastTasks + lastWords + 2*time.Second):
		t.Error("it still waits")
	}
}
