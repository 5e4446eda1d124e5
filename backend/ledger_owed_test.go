// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// longLived is a mount with a credential that no lease ends in the next half hour. It
// is old enough for GitHub's "unknown" to prove that it is dead.
func longLived(t *testing.T) (*mount, answer) {
	m := newMount(t)
	m.role("build-dev", map[string]any{"ttl": 3000, "max_active": 1})
	got := m.issue("build-dev")
	require.NoError(t, m.engine.Ledger.Flush(t.Context()))
	m.clock.advance(2 * time.Minute)
	return m, got
}

// Whatever operation of our own storage fails while a token is to die, it dies soon
// after, without anybody who asks again.
func TestLedgerAStorageFaultOwesTheToken(t *testing.T) {
	ways := map[string]func(m *mount, got answer) answer{
		"a lease that ends": func(m *mount, got answer) answer {
			var last answer
			for range 3 {
				last = m.revoke(got)
			}
			return last
		},
		"a kill": func(m *mount, _ answer) answer { return m.write("revoke", map[string]any{"role": "build-dev"}) },
		"one killed": func(m *mount, got answer) (none answer) {
			_ = m.engine.Revoke.Token(m.t.Context(), got.data["token_id"].(string), ledger.ByKill)
			return none
		},
	}
	for name, kill := range ways {
		for fault, failNth := range map[string]func(m *mount, n int) (failed func() string){
			"an operation fails": func(m *mount, n int) func() string {
				m.storage.failAt(n)
				return m.storage.heal
			},
			"an answer is lost": func(m *mount, n int) func() string { return m.storage.loseAnswer(n) },
		} {
			t.Run(name+", "+fault, func(t *testing.T) {
				for n := 1; ; n++ {
					require.Less(t, n, 100, "an operation that never ends")
					m, got := longLived(t)
					heal := failNth(m, n)
					told := kill(m, got)
					failed := heal()
					if failed == "" {
						return
					}
					if strings.HasPrefix(failed, "put kill/") {
						continue // the caller knows that it was not taken
					}
					m.background(time.Minute)
					require.Equal(t, githubtest.Revoked, m.state(got), "%s failed, and the answer was %d %s", failed, told.status, told.err)
					require.Equal(t, "revoked", m.record(got)["status"], "%s failed", failed)
					require.Zero(t, m.queueLength(), "%s failed", failed)
					require.Equal(t, 1, m.told(got, "revoked"), "%s failed", failed)
					m.issue("build-dev") // its place is free
				}
			})
		}
	}
}

func TestLedgerAnExposedTokenDiesThoughItsReportFails(t *testing.T) {
	marked := 0
	for n := 1; ; n++ {
		m, got := longLived(t)
		m.storage.failAt(n)
		m.write("exposed", map[string]any{"token": got.data["token"], "where": "a log"})
		failed := m.storage.heal()
		if failed == "" {
			require.Greater(t, marked, 3)
			return
		}
		if m.record(got)["exposed_where"] == "" {
			continue // the caller was told that it is not on record
		}
		marked++
		m.background(30 * time.Second)
		require.Equal(t, "exposed", m.record(got)["revoked_by"], "%s failed", failed)
		require.Equal(t, githubtest.Revoked, m.state(got), "%s failed", failed)
	}
}

func TestLedgerATokenOfACallerThatIsGoneDiesThoughItsRecordCannotBeRead(t *testing.T) {
	m := newMount(t)
	m.role("build-dev", map[string]any{"ttl": 3000})
	ctx, cancel := context.WithCancel(t.Context())
	var reads atomic.Int32
	m.storage.watch(func(op, key string) error {
		switch {
		case op == "put" && strings.HasPrefix(key, "live/"):
			cancel()
		case op == "get" && strings.HasPrefix(key, "live/") && reads.Add(1) == 1:
			return errStorage
		}
		return nil
	}, nil)
	got := m.ask(ctx, &logical.Request{Operation: logical.ReadOperation, Path: "creds/build-dev"})
	m.storage.watch(nil, nil)
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Equal(t, 1, m.queueLength())
	m.background(10 * time.Second)
	require.Zero(t, m.github.Live())
	require.Zero(t, m.queueLength())
}

func TestLedgerALeaseThatCannotBeClosedIsTheEngines(t *testing.T) {
	m, got := longLived(t)
	m.storage.failNth("put", "closed/", 1, 2, 3)
	require.Equal(t, http.StatusInternalServerError, m.revoke(got).status)
	require.Equal(t, http.StatusInternalServerError, m.revoke(got).status)
	require.Empty(t, m.revoke(got).err)
	m.storage.watch(nil, nil)
	require.Equal(t, 1, m.queueLength())
	require.Equal(t, "revoking", m.record(got)["status"])
	m.start() // a successor owes it too
	require.Equal(t, 1, m.told(got, "handed_over"))
	m.background(time.Minute)
	require.Equal(t, "revoked", m.record(got)["status"])
	m.issue("build-dev") // its place is free
}

// What is handed over or fails for the first time is told before Vault hears of it: a
// process that is killed right after leaves no gap.
func TestLedgerFailuresAreToldBeforeTheAnswer(t *testing.T) {
	m := newMount(t)
	got := m.issue("build-dev")
	stop := m.github.Inject(down)
	require.NoError(t, m.engine.Ledger.Flush(t.Context()))
	m.storage.failNth("put", "events/", 1)
	require.NotEmpty(t, m.revoke(got).err)
	m.storage.watch(nil, nil)
	require.Equal(t, "revoking", m.record(got)["status"])
	m.start()
	m.runQueue(2 * time.Second)
	m.start()
	require.Equal(t, 1, m.told(got, "revocation_failed"))
	require.NotEmpty(t, m.revoke(got).err)
	// The third answer is lost, and the process with it.
	m.storage.failNth("put", "events/", 1)
	require.NotEmpty(t, m.revoke(got).err)
	m.storage.watch(nil, nil)
	m.start()
	require.Empty(t, m.revoke(got).err)
	m.start()
	require.Empty(t, m.revoke(got).err)
	require.Equal(t, 1, m.told(got, "handed_over"))
	require.Equal(t, 1, m.told(got, "revocation_failed"))
	stop()
}

func TestLedgerKillAcrossStorageFaults(t *testing.T) {
	t.Run("an order that cannot be read at a take-over is taken up later", func(t *testing.T) {
		m, got := longLived(t)
		m.storage.failNth("list", "live/", 1)
		require.Equal(t, http.StatusInternalServerError, m.write("revoke", map[string]any{"role": "build-dev"}).status)
		m.storage.failNth("list", "kill/", 1)
		m.start()
		m.storage.watch(nil, nil)
		m.background(10 * time.Second)
		require.Equal(t, githubtest.Revoked, m.state(got))
		require.Empty(t, m.storage.keys("kill/"))
		require.Len(t, m.events("kill_done"), 1)
	})
	t.Run("one order that fails holds up no other", func(t *testing.T) {
		m := newMount(t)
		for _, role := range []string{"a", "b"} {
			m.role(role, map[string]any{"ttl": 3000})
		}
		x, y := m.issue("a"), m.issue("b")
		m.clock.advance(2 * time.Minute)
		for _, role := range []string{"a", "b"} {
			m.storage.failNth("list", "live/", 1)
			require.NotEmpty(t, m.write("revoke", map[string]any{"role": role}).err)
		}
		m.storage.failNth("get", "kill/", 1)
		m.start()
		m.storage.watch(nil, nil)
		require.Equal(t, 1, m.queueLength(), "one of the two is taken up at once")
		m.background(10 * time.Second)
		require.Equal(t, []githubtest.State{githubtest.Revoked, githubtest.Revoked}, []githubtest.State{m.state(x), m.state(y)})
	})
	t.Run("a token that storage failed among the first hundred is marked", func(t *testing.T) {
		for n := 1; n <= 3; n++ {
			m, got := longLived(t)
			stop := m.github.Inject(down)
			m.storage.failNth("get", "live/", n)
			m.write("revoke", map[string]any{"role": "build-dev"})
			m.storage.watch(nil, nil)
			m.start()
			require.Empty(t, m.events("kill_done"), "get %d failed", n)
			require.Equal(t, http.StatusForbidden, m.renew(got, 0).status, "get %d failed", n)
			stop()
			m.background(2 * time.Minute)
			require.Equal(t, "kill", m.record(got)["revoked_by"], "get %d failed", n)
			require.EqualValues(t, 1, m.events("kill_done")[0]["revoked"])
		}
	})
	t.Run("one that is resumed means no token that was issued after it", func(t *testing.T) {
		m := newMount(t)
		m.role("build-dev", map[string]any{"ttl": 3000})
		meant := m.issue("build-dev")
		m.clock.advance(2 * time.Minute)
		m.storage.failNth("list", "live/", 1)
		require.NotEmpty(t, m.write("revoke", map[string]any{"role": "build-dev"}).err)
		m.storage.watch(nil, nil)
		m.open() // and the process has not taken over yet
		m.clock.advance(time.Minute)
		later := m.issue("build-dev")
		require.True(t, m.worker.takeOver(t.Context()))
		m.background(time.Minute)
		require.Equal(t, githubtest.Revoked, m.state(meant))
		require.Equal(t, githubtest.Live, m.state(later))
	})
}

// A platform that is down may say when to come back. It does not know.
func TestLedgerTheQueueTriesAPlatformThatSaysItIsDownForAnHour(t *testing.T) {
	m := newMount(t)
	g := m.addGitLab()
	m.role("pull", gitlabRole(map[string]any{"ttl": 300}))
	got := m.issue("pull")
	g.Fail(gitlabtest.Fault{Method: http.MethodDelete, Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"3600"}}})
	for range 3 {
		m.revoke(got)
	}
	m.background(30 * time.Second)
	require.Len(t, g.Live(), 1)
	g.Heal()
	m.background(2 * time.Minute)
	require.Empty(t, g.Live())
}

// Asking for the last use is a part of the revocation: it takes no place of the mints',
// and what our storage makes of the answer costs the revocation nothing.
func TestLedgerAskingForTheLastUseIsInNobodysWay(t *testing.T) {
	m := newMount(t)
	g := m.addGitLab()
	m.role("push", gitlabRole(map[string]any{"stage": "release", "permissions": "repository=write"}))
	got := m.issue("push")
	m.clock.advance(2 * time.Minute)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, got.data["base_url"].(string)+"/api/v4/personal_access_tokens/self", nil)
	require.NoError(t, err)
	request.Header.Set("PRIVATE-TOKEN", got.data["token"].(string))
	seen, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, seen.Body.Close())
	require.Equal(t, http.StatusOK, seen.StatusCode)
	before := m.calls("other")
	m.storage.failNth("put", "events/", 1)
	m.revoke(got)
	m.storage.watch(nil, nil)
	require.Empty(t, g.Live())
	require.EqualValues(t, 1, m.record(got)["uses"])
	require.Equal(t, before, m.calls("other"))
	require.Equal(t, 2, m.calls("revoke"))
}

// calls counts the calls of a kind to the platforms.
func (m *mount) calls(kind string) (n int) {
	m.t.Helper()
	resp, err := m.HandleRequest(m.t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: "metrics", Storage: m.storage})
	require.NoError(m.t, err)
	text := string(resp.Data[logical.HTTPRawBody].([]byte))
	for _, line := range strings.Split(text, "\n") {
		count, isCount := strings.CutPrefix(line, "ci_platform_call_duration_seconds_count{")
		if labels, value, ok := strings.Cut(count, "} "); isCount && ok && strings.Contains(labels, `call="`+kind+`"`) {
			calls, err := strconv.Atoi(value)
			require.NoError(m.t, err)
			n += calls
		}
	}
	return n
}
