// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/snippets"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// A short lease must be renewed to live; a long one must be revoked to die in time.
var (
	shortLease = map[string]any{"repositories": "*", "ttl": 4, "max_ttl": 3600}
	longLease  = map[string]any{"repositories": "*", "ttl": 600, "max_ttl": 3600}
)

func TestAgent(t *testing.T) {
	m := newMachine(t)
	t.Run("the page shows what there is", func(t *testing.T) {
		root, err := world.Root()
		require.NoError(t, err)
		snippets.Check(t, filepath.Join(root, "bootstrap", "agent", "README.md"))
	})
	t.Run("systemd has no complaint", m.verifyUnit)
	t.Run("one token serves both files and is renewed, not replaced", m.oneToken)
	t.Run("a restart takes one more, and neither outlives the agent", m.restarts)
	t.Run("a crash leaves nothing", m.crashes)
	t.Run("a machine logs in with an identity token", m.identity)
	t.Run("a job has one token, renewed while it runs", m.runsJob)
	t.Run("a job that is cancelled leaves nothing", m.cancelsJob)
	t.Run("a job without identity does not run", m.refusesJob)
	require.Zero(t, m.github.Live(), "every token that was made is dead")
	m.NoSecrets(m.seen()...)
	for _, secret := range m.seen() {
		require.False(t, strings.Contains(m.printed(t), secret), "a secret is in the log")
	}
}

func (m *machine) verifyUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not on this machine")
	}
	output, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", m.path("etc", "ci-agent.service")).CombinedOutput()
	require.NoError(t, err, string(output))
	require.NotContains(t, string(output), "ci-agent.service")
}

func (m *machine) oneToken(t *testing.T) {
	m.role("build-any", shortLease)
	before, renewed := m.minted(), m.renewals()
	agent := m.serve(t, "agent.hcl")
	token := m.token(t)
	require.Equal(t, before+1, m.minted())

	eventually(t, 2*time.Minute, "three renewals", func() bool { return m.renewals() >= renewed+3 })
	require.Equal(t, githubtest.Live, m.github.StateOf(token))
	require.Equal(t, token, m.token(t), "the files stay as they are")
	require.Equal(t, before+1, m.minted())

	clone := m.start(t, []string{"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1"}, "git",
		"-c", "credential.helper=store --file="+m.path("run", "git-credentials"),
		"clone", "-q", m.github.GitURL("acme", "web"), "web")
	require.NoError(t, clone.Wait())
	require.FileExists(t, m.path("home", "web", "README.md"))
	m.halt(t, agent, syscall.SIGTERM)
	m.noneLive(t)
}

func (m *machine) restarts(t *testing.T) {
	m.role("build-any", longLease)
	before := m.minted()
	first := m.serve(t, "agent.hcl")
	old := m.token(t)
	m.halt(t, first, syscall.SIGTERM)
	second := m.serve(t, "agent.hcl")
	require.NotEqual(t, old, m.token(t))
	require.Equal(t, before+2, m.minted())
	m.halt(t, second, syscall.SIGTERM)
	m.noneLive(t)
	require.Equal(t, before+2, m.minted())
}

func (m *machine) crashes(t *testing.T) {
	m.role("build-any", longLease)
	agent := m.serve(t, "agent.hcl")
	require.Equal(t, githubtest.Live, m.github.StateOf(m.token(t)))
	m.halt(t, agent, syscall.SIGKILL)
	m.noneLive(t)
}

func (m *machine) identity(t *testing.T) {
	m.role("build-any", longLease)
	before := m.minted()
	agent := m.serve(t, "agent-jwt.hcl")
	require.Equal(t, githubtest.Live, m.github.StateOf(m.token(t)))
	require.Equal(t, before+1, m.minted())
	m.halt(t, agent, syscall.SIGTERM)
	m.noneLive(t)
}

// build is a job that shows what it was given, works until it may end, and fails.
const build = `#!/bin/sh
trap 'echo told to stop >>runs; exit 9' TERM
echo begun >>runs
printf %s "$CI_TOKEN" >shown
env >environment
while [ ! -e enough ]; do sleep 0.1; done
exit 7
`

// runJob starts run-job.sh in the folder of the job.
func (m *machine) runJob(t *testing.T, identity string) (run *exec.Cmd, wait func() int) {
	t.Helper()
	for _, name := range []string{"shown", "environment", "enough", "runs"} {
		require.NoError(t, os.RemoveAll(m.path("home", name)))
	}
	require.NoError(t, os.WriteFile(m.path("home", "build.sh"), []byte(build), 0o700))
	m.secrets = append(m.secrets, identity)
	run = m.start(t, []string{"VAULT_ID_TOKEN=" + identity}, m.path("etc", "run-job.sh"), m.path("etc", "job.hcl"))
	return run, func() int {
		_ = run.Wait()
		require.NoDirExists(t, m.path("home", ".ci-job"))
		return run.ProcessState.ExitCode()
	}
}

// runs is what the job has said of itself.
func (m *machine) runs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(m.path("home", "runs"))
	require.NoError(t, err)
	return string(text)
}

// shown is the token that the job was given, waited for.
func (m *machine) shown(t *testing.T) string {
	t.Helper()
	eventually(t, time.Minute, "the job has begun", func() bool {
		environment, _ := os.ReadFile(m.path("home", "environment"))
		return len(environment) > 0
	})
	token, err := os.ReadFile(m.path("home", "shown"))
	require.NoError(t, err)
	require.NotEmpty(t, token)
	m.secrets = append(m.secrets, string(token))
	return string(token)
}

func (m *machine) runsJob(t *testing.T) {
	m.role("build-any", shortLease)
	before, renewed := m.minted(), m.renewals()
	identity := m.job("acme/web", vaultAudience)
	_, wait := m.runJob(t, identity)
	token := m.shown(t)
	require.NoFileExists(t, m.path("home", ".ci-job", "id-token"), "good for one login")

	eventually(t, 2*time.Minute, "three renewals", func() bool { return m.renewals() >= renewed+3 })
	environment, err := os.ReadFile(m.path("home", "environment"))
	require.NoError(t, err)
	require.Contains(t, string(environment), "CI_TOKEN_USERNAME=x-access-token\n")
	require.NotContains(t, string(environment), identity, "the job gets its credential, not the login")
	require.Equal(t, githubtest.Live, m.github.StateOf(token))
	require.Equal(t, before+1, m.minted())

	require.NoError(t, os.WriteFile(m.path("home", "enough"), nil, 0o600))
	require.Equal(t, 7, wait(), "the code of the job")
	require.Equal(t, "begun\n", m.runs(t), "a job is not begun again")
	m.noneLive(t)
}

func (m *machine) cancelsJob(t *testing.T) {
	m.role("build-any", longLease)
	run, wait := m.runJob(t, m.job("acme/web", vaultAudience))
	require.Equal(t, githubtest.Live, m.github.StateOf(m.shown(t)))
	require.NoError(t, run.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 128+int(syscall.SIGTERM), wait())
	require.Equal(t, "begun\ntold to stop\n", m.runs(t), "the job can clean up")
	m.noneLive(t)
}

func (m *machine) refusesJob(t *testing.T) {
	before := m.minted()
	_, wait := m.runJob(t, m.job("acme/web", "https://elsewhere.example.com"))
	require.NotZero(t, wait())
	require.NoFileExists(t, m.path("home", "shown"))
	require.Equal(t, before, m.minted())
}
