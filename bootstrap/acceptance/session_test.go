// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world/worldtest"
)

// step is a command of a page and what it is said to print.
type step struct {
	who, command string
	prints       []string
}

var (
	// sessions are those of a page that stand below the mark.
	sessions = regexp.MustCompile("(?s)<!-- run -->\n```console\n(.*?)\n```\n")
	prompt   = regexp.MustCompile(`^([a-z]+)\$ (.+)$`)
)

// readSessions reads the steps of all marked sessions of a page, in order.
func readSessions(t testing.TB, page ...string) []step {
	t.Helper()
	root, err := world.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(append([]string{root}, page...)...))
	require.NoError(t, err)
	blocks := sessions.FindAllSubmatch(text, -1)
	require.NotEmpty(t, blocks, "the page has no console session below <!-- run -->")
	var steps []step
	for _, block := range blocks {
		for line := range strings.SplitSeq(string(block[1]), "\n") {
			if typed := prompt.FindStringSubmatch(line); typed != nil {
				steps = append(steps, step{who: typed[1], command: typed[2]})
				continue
			}
			if line == "" {
				continue
			}
			require.NotEmpty(t, steps, "%q stands before the first command", line)
			last := &steps[len(steps)-1]
			if command, goesOn := strings.CutSuffix(last.command, "\\"); goesOn {
				last.command = command + strings.TrimSpace(line)
				continue
			}
			last.prints = append(last.prints, line)
		}
	}
	return steps
}

// expected is a line of output as a pattern: spaces may be more or fewer, and …
// stands for what differs each time.
func expected(line string) *regexp.Regexp {
	words := strings.Fields(line)
	for i, word := range words {
		words[i] = strings.ReplaceAll(regexp.QuoteMeta(word), "…", `.*`)
	}
	return regexp.MustCompile(`(?m)` + strings.Join(words, `\s+`))
}

// shell runs commands as several people, who share their variables but not their
// Vault tokens: each has a home, where `vault login` has put it.
type shell struct {
	env   []string
	state string // a file with the variables
	homes map[string]string
	// real puts what is there in the place of what a page calls it.
	real *strings.Replacer
}

// newShell makes a shell for people with these tokens, in a checkout.
func newShell(t testing.TB, v *worldtest.Vault, tokens map[string]string, real ...string) *shell {
	t.Helper()
	bin := t.TempDir()
	require.NoError(t, os.Symlink(v.Binary(), filepath.Join(bin, "vault")))
	sh := &shell{state: filepath.Join(t.TempDir(), "variables"), homes: map[string]string{}, real: strings.NewReplacer(real...)}
	sh.env = append(v.ClientEnv(), "PATH="+bin+":"+os.Getenv("PATH"))
	require.NoError(t, os.WriteFile(sh.state, nil, 0o600))
	for who, token := range tokens {
		sh.homes[who] = t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(sh.homes[who], ".vault-token"), []byte(token), 0o600))
	}
	return sh
}

// let sets a variable.
func (sh *shell) let(t testing.TB, name, value string) {
	t.Helper()
	text, err := os.ReadFile(sh.state)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(sh.state, append(text, "export "+name+"='"+value+"'\n"...), 0o600))
}

// run runs one step. Only a step that prints a refusal may fail.
func (sh *shell) run(t *testing.T, step step) {
	t.Helper()
	output, code := sh.bash(t, step.who, sh.real.Replace(step.command))
	for _, line := range step.prints {
		require.Regexp(t, expected(line), output, "%s$ %s", step.who, step.command)
	}
	refused := strings.Contains(strings.Join(step.prints, "\n"), "Code: 403")
	require.Equal(t, refused, code != 0, "%s$ %s\n%s", step.who, step.command, output)
}

func (sh *shell) variable(t *testing.T, name string) string {
	t.Helper()
	value, _ := sh.bash(t, "", `printf %s "$`+name+`"`)
	require.NotEmpty(t, value, name)
	return value
}

func (sh *shell) bash(t *testing.T, who, command string) (output string, code int) {
	t.Helper()
	if who != "" {
		require.Contains(t, sh.homes, who, "the page names somebody whom nobody knows")
	}
	root, err := world.Root()
	require.NoError(t, err)
	keep := "\ncode=$?; export -p | grep -v -e ' HOME=' > " + sh.state + "; exit $code"
	run := exec.CommandContext(t.Context(), "bash", "-c", ". "+sh.state+"\nset -o pipefail\n"+command+keep)
	run.Dir, run.Env = root, append(sh.env, "HOME="+sh.homes[who])
	var both bytes.Buffer
	run.Stdout, run.Stderr = &both, &both
	err = run.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return both.String(), run.ProcessState.ExitCode()
}
