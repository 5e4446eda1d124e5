// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

const auditedJobPolicy = `
path "ci/creds/*" { capabilities = ["read", "update"] }
path "ci/tokens/*" { capabilities = ["read", "update"] }
path "ci/introspect" { capabilities = ["update"] }`

// An auditor has the audit file and nothing else.
func TestLedgerAuditFile(t *testing.T) {
	t.Parallel()
	s := newStand(t, world.Options{}, githubtest.Options{})
	s.tuneAudit(t)
	s.Policy("job", auditedJobPolicy)
	alice := s.Users("userpass", world.User{Name: "alice", Password: "alice-password", Policies: []string{"job"}})[0]
	job := s.As(alice.Token)

	token := issue(t, job, "build-dev")
	facts := record(t, s.root, token.id)
	used := job.Must("ci/tokens/"+token.id+"/use", map[string]any{"action": "push", "target": "https://git.example/web.git as " + token.token})
	killed := s.root.Must("ci/tokens/"+token.id+"/revoke", nil)

	clear := []string{"token_id", "token_sha256", "role", "stage", "environment", "owner", "repositories", "permissions"}
	for what, request := range map[string]struct {
		path, id, who string
	}{
		"issue":      {"ci/creds/build-dev", "", "userpass-alice"},
		"use":        {"ci/tokens/" + token.id + "/use", used.RequestID, "userpass-alice"},
		"revocation": {"ci/tokens/" + token.id + "/revoke", killed.RequestID, "root"},
	} {
		entries := s.Audit().Responses().Path(request.path)
		if request.id != "" {
			entries = entries.Request(request.id)
		}
		require.Len(t, entries, 1, what)
		for _, field := range clear {
			require.Equal(t, facts[field], entries[0].Response.Data[field], "%s of %s", field, what)
		}
		require.Equal(t, request.who, entries[0].Auth.DisplayName, what)
	}
	issued := s.Audit().Responses().Path("ci/creds/build-dev")[0]
	require.Equal(t, alice.EntityID, issued.Auth.EntityID)
	require.Equal(t, facts["request_id"], issued.Request.ID, "the record leads to the audit file")
	require.Equal(t, token.lease, issued.Response.Secret.LeaseID)
	use := s.Audit().Responses().Request(used.RequestID)[0].Response.Data
	require.Equal(t, []any{"push", "https://git.example/web.git as [redacted]"}, []any{use["action"], use["target"]})

	exposed := issue(t, job, "build-dev")
	s.root.Must("ci/exposed", map[string]any{"token": exposed.token, "where": "log of " + exposed.token})
	expired := s.unaudited(t)
	s.NoSecrets(token.token, exposed.token, expired.token, s.app.PrivateKeyPEM())
}

// unaudited: the end of a lease by itself is nowhere in the audit file until somebody
// reads the events.
func (s *stand) unaudited(t *testing.T) issued {
	t.Helper()
	s.role("short", map[string]any{"ttl": 2})
	began := time.Now()
	token := issue(t, s.root, "short")
	eventually(t, time.Minute, "expired", func() bool { return s.github.StateOf(token.token) != githubtest.Live })
	before := s.Audit()
	require.Empty(t, before.Where(func(e world.Entry) bool { return strings.Contains(e.Line, `\"revoked_by\":\"lease\"`) }))

	second := issue(t, s.root, "build-dev")
	s.root.Must("ci/revoke", map[string]any{"role": "build-dev"})
	read := s.root.Read("ci/events?limit=1000")
	require.NoError(t, read.Failure())
	lines := s.Audit().Responses().Request(read.RequestID)[0].Response.Data["events"].([]any)
	found := map[string]event{}
	for _, line := range lines {
		var e event
		require.NoError(t, json.Unmarshal([]byte(line.(string)), &e), "each event is in clear")
		found[e.text("type")+" "+e.text("token_id")] = e
	}
	end := found["revoked "+token.id]
	require.Equal(t, "lease", end.text("revoked_by"))
	require.Equal(t, "team-web", end.text("owner"))
	at, err := time.Parse(time.RFC3339Nano, end.text("time"))
	require.NoError(t, err)
	require.WithinDuration(t, began.Add(2*time.Second), at, 20*time.Second)
	require.Equal(t, "kill", found["revoked "+second.id].text("revoked_by"))
	require.Contains(t, found["kill_ordered "].text("ordered_by"), "root")
	return token
}

// tuneAudit takes the mount's tuning back and makes it with the script.
func (s *stand) tuneAudit(t *testing.T) {
	t.Helper()
	root, err := world.Root()
	require.NoError(t, err)
	script := filepath.Join(root, "scripts", "tune-audit.sh")
	vault, err := world.FindVault()
	require.NoError(t, err)
	client, err := s.Leader().Client()
	require.NoError(t, err)
	require.NoError(t, client.Sys().TuneMountWithContext(t.Context(), "ci", api.MountConfigInput{AuditNonHMACResponseKeys: []string{""}})) //nolint:staticcheck // the newer call differs only in null

	command := exec.CommandContext(t.Context(), script, "ci")
	command.Env = append(os.Environ(), "VAULT_ADDR="+s.Leader().Address, "VAULT_TOKEN="+s.RootToken(),
		"PATH="+filepath.Dir(vault)+string(os.PathListSeparator)+os.Getenv("PATH"))
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	var shown []string
	for _, key := range s.root.Read("sys/mounts/ci/tune").Data["audit_non_hmac_response_keys"].([]any) {
		shown = append(shown, key.(string))
	}
	require.ElementsMatch(t, world.AuditKeys(), shown, "one list in two places")
}

// What operators and gateways ask the ledger on a real Vault.
func TestLedgerOverTheAPI(t *testing.T) {
	t.Parallel()
	s := newStand(t, world.Options{}, githubtest.Options{})
	collector := &follower{}
	require.True(t, collector.read(t, s.root, 100))
	token := issue(t, s.root, "build-dev")

	t.Run("an event is seen within a second", func(t *testing.T) {
		require.Eventually(t, func() bool {
			require.True(t, collector.read(t, s.root, 100))
			return timesTold(collector.seen, "issued", token.id) == 1
		}, time.Second, 10*time.Millisecond)
	})
	t.Run("live tokens are listed with a line of facts", func(t *testing.T) {
		info := s.root.List("ci/tokens").Data["key_info"].(map[string]any)[token.id].(map[string]any)
		require.Equal(t, []any{"active", "build-dev", "team-web"}, []any{info["status"], info["role"], info["owner"]})
	})
	t.Run("metrics are Prometheus text", func(t *testing.T) {
		answer := s.root.Read("ci/metrics")
		require.Equal(t, http.StatusOK, answer.Status)
		require.Contains(t, answer.Header.Get("Content-Type"), "text/plain")
		require.Contains(t, string(answer.Body), "\nci_live_tokens 1\n")
	})
	t.Run("settings are written, changed and reset", func(t *testing.T) {
		s.root.Must("ci/settings", map[string]any{"closed_retention": "48h", "event_retention": "72h"})
		require.NoError(t, s.root.Patch("ci/settings", map[string]any{"event_retention": "96h"}).Failure())
		shown := s.root.Read("ci/settings").Data
		require.Equal(t, []any{172800.0, 345600.0}, []any{shown["closed_retention"], shown["event_retention"]})
		require.Equal(t, http.StatusBadRequest, s.root.Write("ci/settings", map[string]any{"closed_retention": "1h"}).Status)
		require.NoError(t, s.root.Delete("ci/settings").Failure())
		require.Equal(t, 2592000.0, s.root.Read("ci/settings").Data["closed_retention"])
	})
	t.Run("a killed token's lease is not renewed", func(t *testing.T) {
		stop := s.github.Inject(githubtest.Fault{Match: "DELETE /installation/token", Status: http.StatusServiceUnavailable})
		require.Equal(t, http.StatusServiceUnavailable, s.root.Write("ci/tokens/"+token.id+"/revoke", nil).Status)
		renewed := s.root.Write("sys/leases/renew", map[string]any{"lease_id": token.lease})
		require.ErrorContains(t, renewed.Failure(), "renewal: the token was killed")
		report := s.root.Read("ci/report").Data
		require.Equal(t, []any{false, 1.0}, []any{report["queue_empty"], report["queue_length"]})
		stop()
		eventually(t, recovery, "dead", func() bool { return s.github.Live() == 0 })
	})
	t.Run("the report says when the mount can be disabled", func(t *testing.T) {
		eventually(t, time.Minute, "nothing is owed", func() bool {
			report := s.root.Read("ci/report").Data
			return report["queue_empty"] == true && report["live"] == 0.0
		})
	})
}
