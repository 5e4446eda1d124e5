// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
)

const tokensPath = "/access_tokens"

// The plugin's process is killed with SIGKILL. Two minutes later, as is promised, no
// token is live that should not be, and no record lies.
func TestLedgerKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	l := newLab(t, world.Options{})

	for _, at := range []struct {
		name  string
		after bool
	}{
		{"before the mint", false},
		{"after the platform's answer", true},
	} {
		t.Run(at.name, func(t *testing.T) {
			hit := l.gitlab.hold(http.MethodPost, tokensPath, at.after)
			answered := l.readAside(t, "long")
			<-hit
			killed := l.kill(t)
			got := <-answered
			eventually(t, recovery, "ledger and platform agree", func() bool { return l.agrees(t) })
			t.Logf("ledger and platform agree %s after the kill; the caller got status %d", time.Since(killed).Round(time.Millisecond), got.Status)
			if got.Status == http.StatusOK {
				require.Contains(t, l.gitlab.live(), got.Data["token_id"], "what was answered is live")
			}
		})
	}

	t.Run("after the answer to Vault", func(t *testing.T) {
		token := issue(t, l.root, "short")
		killed := l.kill(t)
		eventually(t, recovery, "dead at its lease's end", func() bool { return !slices.Contains(l.gitlab.live(), token.id) })
		t.Logf("dead %s after the kill, with a lease of 5s", time.Since(killed).Round(time.Millisecond))
	})

	for _, at := range []struct {
		name  string
		after bool
	}{
		{"during a revoke, before the platform acts", false},
		{"during a revoke, after the platform has acted", true},
	} {
		t.Run(at.name, func(t *testing.T) {
			token := issue(t, l.root, "short")
			hit := l.gitlab.hold(http.MethodDelete, tokensPath, at.after)
			<-hit
			killed := l.kill(t)
			eventually(t, recovery, "dead", func() bool { return !slices.Contains(l.gitlab.live(), token.id) && l.agrees(t) })
			t.Logf("dead and on record %s after the kill", time.Since(killed).Round(time.Millisecond))
		})
	}

	t.Run("at random under load", func(t *testing.T) { l.killUnderLoad(t) })

	requireTruth(t, l.root, eventsOf(t, l.root))
}

// Nobody asks for anything after the kill: only Vault's own tick, once a minute,
// starts the plugin again.
func TestLedgerKilledDuringASweep(t *testing.T) {
	t.Parallel()
	l := newLab(t, world.Options{ExtraConfig: "raw_storage_endpoint = true"})
	token := issue(t, l.root, "short")
	l.loseLease(t, token)
	<-l.gitlab.hold(http.MethodDelete, tokensPath, false)
	killed := l.kill(t)
	eventually(t, recovery, "dead", func() bool { return len(l.gitlab.live()) == 0 })
	t.Logf("dead %s after the kill", time.Since(killed).Round(time.Millisecond))
	eventually(t, time.Minute, "on record", func() bool { return l.agrees(t) })
	require.Equal(t, "sweep", record(t, l.root, token.id)["revoked_by"])
	requireTruth(t, l.root, eventsOf(t, l.root))
}

// readAside reads a credential in the background.
func (l *lab) readAside(t *testing.T, role string) <-chan world.Answer {
	answered := make(chan world.Answer, 1)
	go func() {
		answer, _ := l.root.Caller.Read(t.Context(), "ci/creds/"+role) // no answer is status 0
		answered <- answer
	}()
	return answered
}

func (l *lab) kill(t *testing.T) time.Time {
	t.Helper()
	require.NotEmpty(t, l.For(t).KillPlugins())
	return time.Now()
}

// loseLease takes a lease out of Vault's storage behind its back.
func (l *lab) loseLease(t *testing.T, token issued) {
	t.Helper()
	require.NoError(t, l.root.Delete("sys/raw/sys/expire/id/"+token.lease).Failure())
}

// killUnderLoad kills the plugin some times while jobs come and go, so that it dies
// in all states that there are.
func (l *lab) killUnderLoad(t *testing.T) {
	stop := l.load(t, 6)
	for range 5 {
		time.Sleep(time.Duration(500+rand.IntN(1000)) * time.Millisecond)
		l.kill(t)
	}
	stop()
	stopped := time.Now()
	l.root.Must("ci/revoke", map[string]any{"role": "long"})
	eventually(t, recovery+shortTTL, "nothing is live", func() bool { return len(l.gitlab.live()) == 0 && l.agrees(t) })
	t.Logf("all is dead %s after the last of 5 kills", time.Since(stopped).Round(time.Millisecond))
}
