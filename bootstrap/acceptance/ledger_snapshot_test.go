// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

func TestLedgerSnapshot(t *testing.T) {
	t.Parallel()
	l := newLab(t, world.Options{})
	collector := &follower{}

	t.Run("from before the issue: the token is found by its name", func(t *testing.T) {
		before := l.Snapshot()
		forgotten := issue(t, l.root, "long")
		require.True(t, collector.read(t, l.root, 100))
		l.Restore(before, false)
		restored := time.Now()
		eventually(t, recovery, "dead", func() bool { return len(l.gitlab.live()) == 0 })
		t.Logf("dead %s after the restore", time.Since(restored).Round(time.Millisecond))
		require.Equal(t, http.StatusNotFound, l.root.Read("ci/tokens/"+forgotten.id).Status)
		eventually(t, time.Minute, "the log tells", func() bool {
			return timesTold(eventsOf(t, l.root), "orphan_revoked", forgotten.id) == 1
		})
	})

	t.Run("from before the revocation: the record comes to the truth", func(t *testing.T) {
		token := issue(t, l.root, "short")
		before := l.Snapshot()
		require.NoError(t, l.root.Write("ci/tokens/"+token.id+"/revoke", nil).Failure())
		l.Restore(before, false)
		eventually(t, recovery, "nothing is live", func() bool { return len(l.gitlab.live()) == 0 && l.agrees(t) })
		require.Equal(t, "revoked", record(t, l.root, token.id)["status"])
	})

	t.Run("a collector reads on over both", func(t *testing.T) {
		seen := len(collector.seen)
		next := issue(t, l.root, "long")
		require.True(t, collector.read(t, l.root, 100))
		require.Equal(t, 1, timesTold(collector.seen[seen:], "issued", next.id))
		last := ""
		for _, e := range collector.seen {
			require.Greater(t, e.text("cursor"), last)
			last = e.text("cursor")
		}
	})
}

// GitHub cannot be asked for a token; its 401 is the proof that it is dead.
func TestLedgerSnapshotFromBeforeARevocationAtGitHub(t *testing.T) {
	t.Parallel()
	s := newStand(t, world.Options{}, githubtest.Options{})
	s.role("short", map[string]any{"ttl": 10})
	token := issue(t, s.root, "short")
	before := s.Snapshot()
	require.NoError(t, s.root.Write("ci/tokens/"+token.id+"/revoke", nil).Failure())
	s.Restore(before, false)
	restored := time.Now()
	eventually(t, recovery, "on record", func() bool {
		answer := s.root.Read("ci/tokens/" + token.id)
		return answer.Status == http.StatusOK && answer.Data["status"] == "revoked"
	})
	t.Logf("on record %s after the restore", time.Since(restored).Round(time.Millisecond))
	require.Zero(t, s.github.Live())
}
