// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
)

// Three nodes, and the leader is killed twice while credentials are issued, revoked
// and expire. A collector follows the log all the while.
func TestLedgerLeaderKilledUnderLoad(t *testing.T) {
	t.Parallel()
	l := newLab(t, world.Options{Nodes: 3})
	collector := &follower{}
	done := make(chan struct{})
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
				collector.read(t, l.root, 50)
			}
		}
	}()

	stop := l.load(t, 4)
	for range 2 {
		time.Sleep(3 * time.Second)
		leader := l.Leader()
		require.NoError(t, leader.Kill())
		killed := time.Now()
		l.WaitLeader(leader)
		t.Logf("another leads %s after the kill", time.Since(killed).Round(time.Millisecond))
		time.Sleep(3 * time.Second)
		require.NoError(t, leader.Start(t.Context()))
		require.NoError(t, leader.Unseal(t.Context()))
	}
	stop()
	stopped := time.Now()
	require.Eventually(t, func() bool { return len(l.gitlab.live()) == 0 && l.agrees(t) }, 90*time.Second, 100*time.Millisecond)
	t.Logf("nothing is live %s after the last issue", time.Since(stopped).Round(time.Millisecond))

	close(done)
	<-collected
	patiently(t, func() bool { return collector.read(t, l.root, 50) })
	all := eventsOf(t, l.root)
	require.Equal(t, all, collector.seen, "the collector has seen each event once")
	t.Logf("%d events, %d tokens issued, %d lost ones found by name", len(all), timesTold(all, "issued", ""), timesTold(all, "orphan_revoked", ""))
	require.NotZero(t, timesTold(all, "issued", ""))
	requireTruth(t, l.root, all)
}
