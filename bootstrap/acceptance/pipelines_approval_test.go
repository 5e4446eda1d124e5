// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world/worldtest"
)

// approves lets a job ask, somebody decide, and the job go on with a new identity.
func (s *street) approves(t *testing.T) {
	s.role("deploy-web", map[string]any{
		"issuer": "github-actions", "bound_claims": []string{"repository=acme/web"}, "required_approvals": 1,
	})
	policy, err := os.ReadFile(pipelineFile(t, filepath.Join("..", "mount", "policies", "security.hcl")))
	require.NoError(t, err)
	s.Policy("ci-security", strings.ReplaceAll(string(policy), "@mount@", "ci"))
	bob := s.For(t).As(s.Users("people", world.User{Name: "bob", Password: "correct horse", Policies: []string{"ci-security"}})[0].Token)

	t.Run("somebody denies", func(t *testing.T) {
		said, failed := s.asks(t, bob, "deny")
		require.True(t, failed)
		require.Equal(t, "approval: denied", said)
	})
	t.Run("somebody approves", func(t *testing.T) {
		id, failed := s.asks(t, bob, "approve")
		require.False(t, failed)
		before, _ := s.atGitHub()
		out := s.runStep(t, pipelineJob{role: "deploy-web", approval: id})
		require.False(t, out.failed, out.log)
		made, _ := s.atGitHub()
		require.Equal(t, before+1, made)
		eventually(t, time.Minute, "the token ends with the job", func() bool { return s.github.Live() == 0 })
	})
}

// asks runs approval.sh until somebody has decided, and returns what it printed last.
func (s *street) asks(t *testing.T, who *worldtest.Caller, decision string) (last string, failed bool) {
	t.Helper()
	env := s.machine(t)
	maps.Copy(env, map[string]string{
		"VAULT_ADDR": s.vaultAddress(), "VAULT_AUTH": "github-actions", "POLL_SECONDS": "0.2",
		"VAULT_ID_TOKEN": s.identity("github-actions", s.vaultAddress()),
	})
	decided := make(chan string, 1)
	go func() {
		defer close(decided)
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			pending, err := who.Caller.List(t.Context(), "ci/approvals/deploy-web")
			if err != nil || pending.Failure() != nil {
				continue
			}
			for _, id := range pending.Data["keys"].([]any) {
				path := "ci/approvals/deploy-web/" + id.(string)
				asked, err := who.Caller.Read(t.Context(), path)
				if err != nil || asked.Data["status"] != "pending" {
					continue
				}
				if answer, err := who.Caller.Write(t.Context(), path+"/"+decision, nil); err == nil && answer.Failure() == nil {
					decided <- id.(string)
					return
				}
			}
		}
	}()
	log, failed := process{folder: t.TempDir(), env: env, command: []string{pipelineFile(t, "approval.sh"), "deploy-web", "release 1.2"}}.run(t)
	id := <-decided
	require.Contains(t, log, "approval: waiting for ci/approvals/deploy-web/"+id)
	log = strings.TrimSpace(log)
	return log[strings.LastIndex(log, "\n")+1:], failed
}
