// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

func TestALimitIsObeyedPerConfig(t *testing.T) {
	const mints = "POST /app/installations/*/access_tokens"
	at := newClock().now()
	for _, c := range []struct {
		name  string
		fault githubtest.Fault
		wait  time.Duration
	}{
		{"secondary, 403", githubtest.SecondaryLimit(http.StatusForbidden, 30), 30 * time.Second},
		{"secondary, 429", githubtest.SecondaryLimit(http.StatusTooManyRequests, 45), 45 * time.Second},
		{"secondary without a time", githubtest.SecondaryLimit(http.StatusForbidden, 0), time.Minute},
		{"primary, 403", githubtest.PrimaryLimit(http.StatusForbidden, at.Add(10*time.Minute)), 10 * time.Minute},
		{"primary, 429", githubtest.PrimaryLimit(http.StatusTooManyRequests, at.Add(20*time.Minute)), 20 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMount(t)
			m.must("config/second-app", m.config(nil))
			m.role("elsewhere", map[string]any{"config": "second-app"})
			c.fault.Match, c.fault.Times = mints, 1
			m.github.Inject(c.fault)

			first := m.read("creds/build-dev")
			require.Equal(t, http.StatusTooManyRequests, first.status, first.err)
			require.Contains(t, first.err, c.wait.String())
			before := len(m.github.Requests())
			second := m.read("creds/build-dev")
			require.Equal(t, http.StatusTooManyRequests, second.status)
			require.Contains(t, second.err, c.wait.String())
			require.Len(t, m.github.Requests(), before, "GitHub is left alone meanwhile")
			require.Contains(t, m.read("explain/build-dev").data["shut"], "platform")

			m.issue("elsewhere")
			m.clock.advance(c.wait + time.Second)
			m.issue("build-dev")
		})
	}
}

func TestAPlainNoIsNotALimit(t *testing.T) {
	m := newMount(t)
	m.github.Suspend(m.inst.ID)
	got := m.read("creds/build-dev")
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.err, "suspended")
	m.github.Unsuspend(m.inst.ID)
	m.issue("build-dev")
}

func TestARevocationWaitsForALimitAndIsThenDone(t *testing.T) {
	m := newMount(t)
	credential := m.issue("build-dev")
	limit := githubtest.SecondaryLimit(http.StatusForbidden, 30)
	limit.Match, limit.Times = "DELETE /installation/token", 1
	m.github.Inject(limit)
	started := time.Now()
	require.Equal(t, http.StatusTooManyRequests, m.revoke(credential).status)
	require.Less(t, time.Since(started), 10*time.Second, "Vault's worker is not held up")
	require.Equal(t, githubtest.Live, m.state(credential))
	m.clock.advance(31 * time.Second)
	m.engine.Revoke.RunQueue(t.Context())()
	require.Equal(t, githubtest.Revoked, m.state(credential))
	require.Equal(t, "lease", m.record(credential)["revoked_by"], "the queue did it for the lease")
}

func TestWhatThePlatformLacksIsNamed(t *testing.T) {
	m := newMount(t)
	m.role("attest", map[string]any{"stage": "release", "permissions": []string{"contents=read", "attestations=write"}})
	m.role("lost", map[string]any{"repositories": []string{"web", "nowhere"}})
	for role, says := range map[string][]string{
		"attest": {"lacks attestations=write", "installations/"},
		"lost":   {"acme/nowhere: does not exist, or is not among the repositories", "installations/"},
	} {
		got := m.read("creds/" + role)
		require.Equal(t, http.StatusBadRequest, got.status, got.err)
		for _, text := range says {
			require.Contains(t, got.err, text)
		}
	}
	require.Zero(t, m.github.Live())
}

func TestAPlatformThatFailsIsNotTheCallersFault(t *testing.T) {
	const mints = "POST /app/installations/*/access_tokens"
	for name, c := range map[string]struct {
		fault  githubtest.Fault
		status int
	}{
		"bad gateway":    {githubtest.BadGateway(), http.StatusServiceUnavailable},
		"reset":          {githubtest.Fault{Reset: true}, http.StatusServiceUnavailable},
		"half an answer": {githubtest.Malformed(), http.StatusBadGateway},
		"a page of HTML": {githubtest.Fault{Status: http.StatusOK, Body: "<html>"}, http.StatusBadGateway},
		"not authorised": {githubtest.Fault{Status: http.StatusUnauthorized, Body: `{"message":"Bad credentials"}`}, http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMount(t)
			c.fault.Match, c.fault.Times = mints, 1
			m.github.Inject(c.fault)
			got := m.read("creds/build-dev")
			require.Equal(t, c.status, got.status, got.err)
			require.Empty(t, m.storage.keys("live/"))
			m.issue("build-dev")
		})
	}
}
