// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
)

// machine is a self-hosted runner with the files of bootstrap/agent. Only where they
// are, and which platform git goes to, is other than on a real one.
type machine struct {
	*workplace
	folder string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{workplace: newWorkplace(t), folder: t.TempDir()}
	for _, name := range []string{"etc", "run", "credentials", "home"} {
		require.NoError(t, os.Mkdir(filepath.Join(m.folder, name), 0o700))
	}
	platform, err := url.Parse(m.github.URL())
	require.NoError(t, err)
	places := strings.NewReplacer("/etc/ci-agent", m.path("etc"), "/run/ci-agent", m.path("run"),
		"/run/credentials/ci-agent.service", m.path("credentials"), "/usr/bin/vault", m.Binary(),
		"https://{{", platform.Scheme+"://{{", "@github.com", "@"+platform.Host)
	root, err := world.Root()
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(root, "bootstrap", "agent", "*"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(m.path("etc", filepath.Base(file)), []byte(places.Replace(string(text))), info.Mode()))
	}
	m.put("etc/id-token", m.job("acme/web", vaultAudience))
	m.appRoleOfThePage(t)
	return m
}

// appRoleOfThePage makes the machine's login as the page says.
func (m *machine) appRoleOfThePage(t *testing.T) {
	t.Helper()
	shell := newShell(t, m.Vault, map[string]string{"admin": m.RootToken()},
		"vault auth enable approle", "vault auth list", // the workplace has it
		"192.0.2.10/32", "127.0.0.1/32",
		">role-id", ">"+m.path("etc", "role-id"),
		">secret-id", ">"+m.path("credentials", "secret-id"))
	for _, step := range readSessions(t, "bootstrap", "agent", "README.md") {
		shell.run(t, step)
	}
	secret, err := os.ReadFile(m.path("credentials", "secret-id"))
	require.NoError(t, err)
	m.secrets = append(m.secrets, string(secret))
}

func (m *machine) path(parts ...string) string {
	return filepath.Join(append([]string{m.folder}, parts...)...)
}

// put writes a file of the machine.
func (m *machine) put(name, text string) {
	m.t.Helper()
	require.NoError(m.t, os.WriteFile(m.path(name), []byte(text), 0o600))
}

// start starts a program in the home of the machine's user. It ends with the test.
func (m *machine) start(t *testing.T, environment []string, line ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(line[0], line[1:]...)
	command.Dir = m.path("home")
	command.Env = append(m.ClientEnv(), "HOME="+m.path("home"), "PATH="+filepath.Dir(m.Binary())+":"+os.Getenv("PATH"))
	command.Env = append(command.Env, environment...)
	output, err := os.OpenFile(m.path("output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer func() { _ = output.Close() }()
	command.Stdout, command.Stderr = output, output
	// A test that ends early ends what the program has started too.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		if command.ProcessState == nil {
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
			_ = command.Wait()
		}
		if t.Failed() {
			t.Log(m.printed(t))
		}
	})
	return command
}

// printed is what agents and jobs have printed.
func (m *machine) printed(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(m.path("output"))
	require.NoError(t, err)
	return string(text)
}

// unit is a line of the systemd unit.
func (m *machine) unit(key string) []string {
	m.t.Helper()
	text, err := os.ReadFile(m.path("etc", "ci-agent.service"))
	require.NoError(m.t, err)
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, key+"="); found {
			return strings.Fields(value)
		}
	}
	require.Fail(m.t, "the unit has no "+key)
	return nil
}

// serve starts the agent as systemd does, with a configuration in the place of
// agent.hcl, and waits for its files.
func (m *machine) serve(t *testing.T, config string) *exec.Cmd {
	t.Helper()
	line := m.unit("ExecStart")
	last := len(line) - 1
	line[last] = strings.Replace(line[last], "agent.hcl", config, 1)
	agent := m.start(t, nil, line...)
	eventually(t, time.Minute, "the files are there", func() bool {
		_, credentials := os.Stat(m.path("run", "git-credentials"))
		_, environment := os.Stat(m.path("run", "environment"))
		return credentials == nil && environment == nil
	})
	return agent
}

// halt ends the agent with a signal and then does what systemd does: the step after,
// and the runtime folder emptied.
func (m *machine) halt(t *testing.T, agent *exec.Cmd, signal syscall.Signal) {
	t.Helper()
	require.NoError(t, agent.Process.Signal(signal))
	_ = agent.Wait()
	after := m.start(t, nil, m.unit("ExecStopPost")...)
	require.NoError(t, after.Wait())
	require.NoFileExists(t, m.path("run", "token"))
	require.NoError(t, os.RemoveAll(m.path("run")))
	require.NoError(t, os.Mkdir(m.path("run"), 0o700))
}

// rendered is a file of the agent, which only its user may read.
func (m *machine) rendered(t *testing.T, name string) string {
	t.Helper()
	info, err := os.Stat(m.path("run", name))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	text, err := os.ReadFile(m.path("run", name))
	require.NoError(t, err)
	return string(text)
}

// token is the one that both files hold.
func (m *machine) token(t *testing.T) string {
	t.Helper()
	_, rest, found := strings.Cut(m.rendered(t, "environment"), "CI_TOKEN=")
	require.True(t, found)
	token, _, _ := strings.Cut(rest, "\n")
	require.NotEmpty(t, token)
	require.Contains(t, m.rendered(t, "git-credentials"), "://x-access-token:"+token+"@")
	m.secrets = append(m.secrets, token)
	return token
}

// minted is how many tokens the platform has made.
func (m *machine) minted() int {
	return m.github.Counts()["POST /app/installations/{installation_id}/access_tokens"]
}

// renewals is how often a lease was renewed with success.
func (m *machine) renewals() int {
	return len(m.Audit().Responses().Path("sys/leases/renew").Where(func(e world.Entry) bool { return e.Error == "" }))
}

// noneLive waits until no token lives, for less time than a lease of the role does.
func (m *machine) noneLive(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, "no token lives", func() bool { return m.github.Live() == 0 })
}
