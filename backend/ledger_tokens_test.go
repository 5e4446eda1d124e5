// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

func TestLedgerUse(t *testing.T) {
	m := newMount(t)
	as := func(entity, path string, body map[string]any) answer {
		op := logical.Operation(logical.UpdateOperation)
		if body == nil {
			op = logical.ReadOperation
		}
		return m.ask(t.Context(), &logical.Request{Operation: op, Path: path, Data: body, EntityID: entity, DisplayName: "oidc-" + entity})
	}
	got := as("job", "creds/build-dev", nil)
	use := "tokens/" + got.data["token_id"].(string) + "/use"
	token := got.data["token"].(string)

	t.Run("by whom it was issued to", func(t *testing.T) {
		told := as("job", use, map[string]any{"action": "push", "target": "https://bot:hunter2@git.example/web.git " + token})
		require.Equal(t, http.StatusOK, told.status, told.err)
		require.Equal(t, "https://[redacted]@git.example/web.git [redacted]", told.data["target"])
		require.Equal(t, "team-web", told.data["owner"])
	})
	t.Run("by whoever shows the token", func(t *testing.T) {
		m.clock.advance(time.Minute)
		require.Equal(t, http.StatusOK, as("gateway", use, map[string]any{"action": "deploy", "token": token}).status)
	})
	t.Run("and by nobody else", func(t *testing.T) {
		require.Equal(t, http.StatusForbidden, as("stranger", use, map[string]any{"action": "deploy"}).status)
		require.Equal(t, http.StatusForbidden, as("stranger", use, map[string]any{"action": "deploy", "token": "ghs_another"}).status)
		require.Equal(t, http.StatusForbidden, as("", use, map[string]any{"action": "deploy"}).status)
	})
	t.Run("is on record", func(t *testing.T) {
		r := m.record(got)
		require.EqualValues(t, 2, r["uses"])
		require.Equal(t, "2030-05-06T07:08:09Z", r["first_used_at"])
		require.Equal(t, "2030-05-06T07:09:09Z", r["last_used_at"])
		require.Contains(t, r["use_reported_by"], "gateway")
		used := m.events("used")
		require.Len(t, used, 2)
		require.Equal(t, "push", used[0]["action"])
		require.Contains(t, used[0]["reported_by"], "job")
	})
}

func TestLedgerUseObservedAtThePlatform(t *testing.T) {
	g := newFragile(t, newClock())
	storage := &logical.InmemStorage{}
	g.setUp(t, storage)
	p := g.process(t, storage)
	require.True(t, p.worker.takeOver(t.Context()))
	revoked := func(use bool) map[string]any {
		got, err := p.do(logical.ReadOperation, "creds/one", nil)
		require.NoError(t, err)
		g.clock.advance(time.Minute)
		if use {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.server.URL+"/api/v4/personal_access_tokens/self", nil)
			require.NoError(t, err)
			request.Header.Set("PRIVATE-TOKEN", got.Data["token"].(string))
			seen, err := g.server.Client().Do(request)
			require.NoError(t, err)
			require.NoError(t, seen.Body.Close())
		}
		g.clock.advance(time.Minute)
		p.must(t, "tokens/"+got.Data["token_id"].(string)+"/revoke", nil)
		record, err := p.do(logical.ReadOperation, "tokens/"+got.Data["token_id"].(string), nil)
		require.NoError(t, err)
		require.Equal(t, "revoked", record.Data["status"])
		return record.Data
	}
	t.Run("is on record with the platform's time", func(t *testing.T) {
		r := revoked(true)
		require.Equal(t, 1, r["uses"])
		require.Equal(t, "2030-05-06T07:09:09Z", r["last_used_at"])
		require.Equal(t, "platform", r["use_reported_by"])
	})
	t.Run("is not made up", func(t *testing.T) { require.Equal(t, 0, revoked(false)["uses"]) })
	t.Run("holds up no revocation where the platform does not tell", func(t *testing.T) {
		g.Fail(gitlabtest.Fault{Method: http.MethodGet, Path: "/access_tokens/", Status: http.StatusInternalServerError})
		require.Equal(t, 0, revoked(true)["uses"])
	})
}

func TestLedgerIntrospection(t *testing.T) {
	m := newMount(t)
	got := m.issue("build-dev")
	ask := func(token any) map[string]any { return m.must("introspect", map[string]any{"token": token}).data }

	told := ask(got.data["token"])
	require.Equal(t, true, told["active"])
	require.Equal(t, "contents=read", told["scope"])
	require.Equal(t, []any{"web"}, told["repositories"])
	require.Equal(t, got.data["token_id"], told["token_id"])
	require.EqualValues(t, 1, m.record(got)["uses"], "that somebody was shown it is a use")

	nothing := map[string]any{"active": false}
	require.Equal(t, nothing, ask("ghs_"+strings.Repeat("x", 36)), "not ours")
	m.github.Inject(githubtest.Fault{Match: revocations, Times: 1, Status: http.StatusServiceUnavailable})
	m.revoke(got)
	require.Equal(t, nothing, ask(got.data["token"]), "about to die")
	m.revoke(got)
	require.Equal(t, nothing, ask(got.data["token"]), "dead")
	require.Equal(t, http.StatusBadRequest, m.write("introspect", map[string]any{}).status)
}

func TestLedgerExposed(t *testing.T) {
	m := newMount(t)
	got := m.issue("build-dev")
	token := got.data["token"].(string)
	told := m.must("exposed", map[string]any{"token": token, "where": "log of job 7: " + token}).data
	require.Equal(t, []any{true, true, "revoked"}, []any{told["ours"], told["was_live"], told["status"]})
	require.Equal(t, "log of job 7: [redacted]", told["where"])
	require.Equal(t, githubtest.Revoked, m.state(got))
	r := m.record(got)
	require.Equal(t, []any{"exposed", "log of job 7: [redacted]"}, []any{r["revoked_by"], r["exposed_where"]})
	require.Len(t, m.events("exposed"), 1)

	again := m.must("exposed", map[string]any{"token": token, "where": "elsewhere"}).data
	require.Equal(t, []any{true, false}, []any{again["ours"], again["was_live"]})
	require.Equal(t, "log of job 7: [redacted]", m.record(got)["exposed_where"], "the first report stays")

	stranger := m.must("exposed", map[string]any{"token": "ghs_" + strings.Repeat("y", 36), "where": "a gist"}).data
	require.Equal(t, false, stranger["ours"])
	require.NotContains(t, stranger, "token_id")

	late := m.issue("build-dev")
	m.github.Inject(githubtest.Fault{Match: revocations, Times: 1, Status: http.StatusServiceUnavailable})
	require.Equal(t, http.StatusServiceUnavailable, m.write("exposed", map[string]any{"token": late.data["token"], "where": "a log"}).status)
	require.Equal(t, http.StatusForbidden, m.renew(late, 0).status)
	m.runQueue(10 * time.Second)
	require.Equal(t, "exposed", m.record(late)["revoked_by"])
	require.Equal(t, "a log", m.record(late)["exposed_where"])
}

func TestLedgerReport(t *testing.T) {
	m := newMount(t)
	m.role("ending", map[string]any{"valid_until": m.clock.now().Add(24 * time.Hour).Format(time.RFC3339)})
	m.role("idle", nil)
	m.revoke(m.issue("build-dev"))
	got := m.issue("build-dev")
	m.must("introspect", map[string]any{"token": got.data["token"]})
	require.NoError(t, m.engine.Ledger.Flush(t.Context()))

	report := m.read("report").data
	require.EqualValues(t, 1, report["live"])
	require.Equal(t, []any{true, true}, []any{report["counted"], report["queue_empty"]})
	lines := map[string]map[string]any{}
	for _, line := range report["roles"].([]any) {
		role := line.(map[string]any)
		lines[role["name"].(string)] = role
	}
	build := lines["build-dev"]
	require.Equal(t, []any{"team-web", "build the site", "github", "acme"}, []any{build["owner"], build["purpose"], build["provider"], build["organization"]})
	require.Equal(t, []any{1.0, 2.0, 2.0, 2.0, 1.0}, []any{build["live"], build["issued_1d"], build["issued_7d"], build["issued_30d"], build["never_used_30d"]})
	require.Equal(t, []any{false, true}, []any{build["idle_30d"], lines["idle"]["idle_30d"]})
	require.Equal(t, true, lines["ending"]["ends_soon"])
	config := report["configs"].([]any)[0].(map[string]any)
	require.Equal(t, []any{"github", 1.0, 0.0}, []any{config["name"], config["live"], config["private_key_age_days"]})

	m.clock.advance(31 * 24 * time.Hour)
	for _, line := range m.read("report").data["roles"].([]any) {
		require.Equal(t, true, line.(map[string]any)["idle_30d"])
	}
}

func TestLedgerReportDoesNotCallAnUncountedQueueEmpty(t *testing.T) {
	m := newMount(t)
	got := m.issue("build-dev")
	m.github.Inject(down)
	m.revoke(got)
	m.open() // a process that has not taken over yet
	report := m.read("report").data
	require.Equal(t, []any{false, false}, []any{report["counted"], report["queue_empty"]})
}

func TestLedgerMetrics(t *testing.T) {
	m := newMount(t)
	m.github.Inject(githubtest.Fault{Match: revocations, Times: 1, Status: http.StatusServiceUnavailable})
	first := m.issue("build-dev")
	m.revoke(first)
	m.issue("build-dev")
	m.clock.advance(time.Minute)
	m.read("creds/there-is-none")

	resp, err := m.HandleRequest(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: "metrics", Storage: m.storage})
	require.NoError(t, err)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(resp.Data[logical.HTTPRawBody].([]byte))))
	require.NoError(t, err)
	require.EqualValues(t, 2, families["ci_live_tokens"].Metric[0].Gauge.GetValue())
	require.EqualValues(t, 1, families["ci_revocation_queue_length"].Metric[0].Gauge.GetValue())
	require.EqualValues(t, 60, families["ci_revocation_queue_age_seconds"].Metric[0].Gauge.GetValue())
	counts := map[string]uint64{}
	for _, metric := range families["ci_platform_call_duration_seconds"].Metric {
		for _, label := range metric.Label {
			if label.GetName() == "call" {
				counts[label.GetValue()] = metric.Histogram.GetSampleCount()
			}
		}
	}
	require.EqualValues(t, 2, counts["mint"])
	require.EqualValues(t, 1, counts["revoke"])
	require.NotNil(t, families["ci_platform_call_failures_total"])
	require.NotNil(t, families["ci_limiter_wait_seconds"])
	require.NotContains(t, string(resp.Data[logical.HTTPRawBody].([]byte)), "there-is-none", "what callers make up is no label")
}
