// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
)

// process is one shell of a job, as its runner starts it.
type process struct {
	folder  string
	env     map[string]string
	command []string
	// kill says when SIGTERM is to come; alone, to the shell and not to what it runs.
	kill  func(folder string) bool
	alone bool
}

// run runs it and returns what it printed.
func (sh process) run(t *testing.T) (log string, failed bool) {
	t.Helper()
	command := exec.CommandContext(t.Context(), sh.command[0], sh.command[1:]...)
	command.Dir = sh.folder
	for name, value := range sh.env {
		command.Env = append(command.Env, name+"="+value)
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A file, since a pipe would wait for what outlives the shell.
	output, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer output.Close()
	command.Stdout, command.Stderr = output, output
	printed := func() string {
		text, err := os.ReadFile(output.Name())
		require.NoError(t, err)
		return string(text)
	}
	require.NoError(t, command.Start())
	group := -command.Process.Pid
	t.Cleanup(func() { _ = syscall.Kill(group, syscall.SIGKILL) })
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for limit := time.After(2 * time.Minute); ; {
		select {
		case err := <-ended:
			return printed(), err != nil
		case <-limit:
			_ = syscall.Kill(group, syscall.SIGKILL)
			<-ended
			require.Fail(t, "the shell does not end", printed())
		case <-poll.C:
			if sh.kill == nil || !sh.kill(sh.folder) {
				continue
			}
			sh.kill = nil
			target := group
			if sh.alone {
				target = command.Process.Pid
			}
			require.NoError(t, syscall.Kill(target, syscall.SIGTERM))
		}
	}
}

// bash writes a script and is the command that runs it as runners do.
func bash(t *testing.T, script string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script.sh")
	require.NoError(t, os.WriteFile(file, []byte(script), 0o600))
	return []string{"bash", "--noprofile", "--norc", "-eo", "pipefail", file}
}

// machine is the environment of any job on a machine of its own.
func (s *street) machine(t *testing.T) map[string]string {
	return map[string]string{
		"HOME": t.TempDir(), "PATH": filepath.Dir(s.Binary()) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
	}
}

// project is the repository that a job says it is of.
func (j pipelineJob) project() string {
	if j.repository == "" {
		return "acme/web"
	}
	return j.repository
}

// expression is one of GitHub Actions, of the only kind that the workflow has.
var expression = regexp.MustCompile(`\$\{\{ ([\w.]+) \}\}`)

// evaluate fills in a value's expressions.
func evaluate(value string, known map[string]string) string {
	return expression.ReplaceAllStringFunc(value, func(found string) string {
		return known[expression.FindStringSubmatch(found)[1]]
	})
}

// runActions runs the workflow as a runner of GitHub Actions: after a step that
// failed only those run that are to run always, and the log is blotted.
func (s *street) runActions(t *testing.T, j pipelineJob) outcome {
	t.Helper()
	var workflow struct {
		Permissions map[string]string
		Env         map[string]string
		Jobs        map[string]struct {
			Steps []struct {
				Name, ID, If, Run string
				Env               map[string]string
			}
		}
	}
	readYAML(t, "github-actions.yml", &workflow)
	require.Equal(t, "write", workflow.Permissions["id-token"])
	known := map[string]string{"vars.VAULT_ADDR": s.vaultAddress()}
	out := outcome{folder: t.TempDir()}
	var raw strings.Builder
	for _, step := range workflow.Jobs["build"].Steps {
		if out.failed && step.If != "always()" {
			continue
		}
		env := s.machine(t)
		maps.Copy(env, map[string]string{
			"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": j.project(), "GITHUB_SERVER_URL": s.github.URL(),
			"GITHUB_OUTPUT":                filepath.Join(t.TempDir(), "output"),
			"ACTIONS_ID_TOKEN_REQUEST_URL": s.identities, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": actionsBearer,
		})
		for _, more := range []map[string]string{workflow.Env, step.Env} {
			for name, value := range more {
				env[name] = evaluate(value, known)
			}
		}
		sh := process{folder: out.folder, env: env, command: bash(t, step.Run)}
		if step.If == "" {
			sh.kill = j.kill
		}
		if step.ID == "" && step.If == "" && j.work != "" {
			sh.command = bash(t, j.work)
		}
		printed, failed := sh.run(t)
		raw.WriteString(printed)
		out.failed = out.failed || failed
		s.outputs(t, step.ID, env["GITHUB_OUTPUT"], known)
	}
	out.log = s.blotted(t, raw.String(), known)
	return out
}

// outputs reads the file of a step's outputs.
func (s *street) outputs(t *testing.T, id, file string, known map[string]string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return
	}
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		known["steps."+id+".outputs."+name] = value
	}
}

// blotted is a log as GitHub shows it: from an add-mask on, its value is stars. No
// secret may be in the clear before, and each has a mask.
func (s *street) blotted(t *testing.T, raw string, known map[string]string) string {
	t.Helper()
	var shown strings.Builder
	var masks []string
	for line := range strings.Lines(raw) {
		if secret, is := strings.CutPrefix(strings.TrimSpace(line), "::add-mask::"); is {
			require.NotEmpty(t, secret)
			masks = append(masks, secret)
			continue
		}
		for _, mask := range masks {
			line = strings.ReplaceAll(line, mask, "***")
		}
		shown.WriteString(line)
	}
	for _, name := range []string{"steps.vault.outputs.vault_token", "steps.vault.outputs.token"} {
		if secret := known[name]; secret != "" {
			require.Contains(t, masks, secret, name)
			s.secrets = append(s.secrets, secret)
		}
	}
	for _, secret := range append(masks, s.secrets...) {
		require.NotContains(t, shown.String(), secret)
	}
	return shown.String()
}

// runGitLab runs the job as a runner of GitLab: before_script and script in one
// shell, after_script in another that is told nothing, and the project's variables
// over the file's.
func (s *street) runGitLab(t *testing.T, j pipelineJob) outcome {
	t.Helper()
	var file struct {
		Build struct {
			IDTokens     map[string]struct{ Aud string } `yaml:"id_tokens"`
			Variables    map[string]string
			BeforeScript []string `yaml:"before_script"`
			Script       []string
			AfterScript  []string `yaml:"after_script"`
		}
	}
	readYAML(t, "gitlab-ci.yml", &file)
	project := filepath.Join(t.TempDir(), "web")
	require.NoError(t, os.Mkdir(project, 0o700))
	env := s.machine(t)
	maps.Copy(env, map[string]string{
		"GITLAB_CI": "true", "CI_PROJECT_PATH": j.project(), "CI_PROJECT_DIR": project, "CI_SERVER_URL": s.gitlabURL,
	})
	for name, token := range file.Build.IDTokens {
		require.Equal(t, identitytest.Audience, token.Aud)
		env[name] = s.identity("gitlab", token.Aud)
	}
	for name, value := range file.Build.Variables {
		env[name] = os.Expand(value, func(other string) string { return env[other] })
	}
	env["VAULT_ADDR"] = s.vaultAddress()

	work := file.Build.Script
	if j.work != "" {
		work = []string{j.work}
	}
	lines := append(file.Build.BeforeScript, work...)
	out := outcome{folder: project}
	out.log, out.failed = process{folder: project, env: env, command: bash(t, strings.Join(lines, "\n")), kill: j.kill}.run(t)
	after, failed := process{folder: project, env: env, command: bash(t, strings.Join(file.Build.AfterScript, "\n"))}.run(t)
	require.False(t, failed, after)
	require.NoFileExists(t, env["VAULT_TOKEN_FILE"])
	for _, secret := range s.secrets {
		require.NotContains(t, out.log+after, secret)
	}
	return out
}

// runStep runs the shell step. SIGTERM comes to the shell alone, as from a runner
// that knows nothing of what the shell has started.
func (s *street) runStep(t *testing.T, j pipelineJob) outcome {
	t.Helper()
	out := outcome{folder: t.TempDir()}
	work := j.work
	if work == "" {
		work = `git -c credential.helper= -c credential.helper='!f() { echo "username=$CI_TOKEN_USERNAME"; echo "password=$CI_TOKEN"; }; f' ` +
			"clone --depth 1 " + s.github.GitURL("acme", "web") + " source"
	}
	env := s.machine(t)
	maps.Copy(env, map[string]string{
		"VAULT_ADDR": s.vaultAddress(), "VAULT_AUTH": "github-actions",
		"VAULT_ID_TOKEN": s.identity("github-actions", s.vaultAddress()), "VAULT_APPROVAL_ID": j.approval,
	})
	role := "build-any"
	if j.role != "" {
		role = j.role
	}
	out.log, out.failed = process{
		folder: out.folder, env: env, kill: j.kill, alone: true,
		command: []string{pipelineFile(t, "step.sh"), role + "/" + j.project(), "sh", "-c", work},
	}.run(t)
	return out
}

// readYAML reads a file of bootstrap/pipelines.
func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(pipelineFile(t, name))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into))
}
