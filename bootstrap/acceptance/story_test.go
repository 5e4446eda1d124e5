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
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// step is a command of the story and what it is said to print.
type step struct {
	who, command string
	prints       []string
}

var (
	// storyBlock is the session in the README that stands below the mark.
	storyBlock = regexp.MustCompile("(?s)<!-- story -->\n```console\n(.*?)\n```\n")
	prompt     = regexp.MustCompile(`^([a-z]+)\$ (.+)$`)
)

// readStory reads the story out of the README.
func readStory(t testing.TB) []step {
	t.Helper()
	root, err := world.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	block := storyBlock.FindSubmatch(text)
	require.NotNil(t, block, "the README has no console session below <!-- story -->")
	var steps []step
	for line := range strings.SplitSeq(string(block[1]), "\n") {
		if typed := prompt.FindStringSubmatch(line); typed != nil {
			steps = append(steps, step{who: typed[1], command: typed[2]})
			continue
		}
		if line != "" {
			require.NotEmpty(t, steps, "%q stands before the first command", line)
			last := &steps[len(steps)-1]
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

// TestStory runs the deployment to production that the README tells, command by
// command, each by who it says.
func TestStory(t *testing.T) {
	steps := readStory(t)
	s := newStand(t, world.Options{}, githubtest.Options{})
	shell := s.castStory(t)
	for _, step := range steps {
		shell.run(t, step)
	}

	tokens := s.github.Tokens()
	require.Len(t, tokens, 1, "the story made one token")
	require.Equal(t, map[string]string{"contents": "read", "deployments": "write", "metadata": "read"}, tokens[0].Permissions)
	eventually(t, 30*time.Second, "the token is dead at GitHub", func() bool { return s.github.Tokens()[0].State != githubtest.Live })
	s.storyIsAudited(t, shell.variable(t, "APPROVAL"))
	s.NoSecrets(shell.variable(t, "DEPLOY_TOKEN"), shell.variable(t, "ID_TOKEN"))
}

// shell runs commands as several people, who share their variables but not their
// Vault tokens.
type shell struct {
	env    []string
	state  string // a file with the variables
	tokens map[string]string
}

// castStory logs in those whom the story names. What they may do is what they need.
func (s *stand) castStory(t *testing.T) *shell {
	t.Helper()
	issuer := identitytest.New(t, identitytest.Options{Path: identitytest.GitHubPath})
	job := platform{"github", issuer, identitytest.GitHub().With(identitytest.Claims{"environment": "prod"}), "repository"}
	s.root.Must("ci/issuers/github", map[string]any{
		"preset": "github-actions", "discovery_url": issuer.URL(), "audiences": identitytest.Audience, "config": "github",
	})
	s.logsInWith(job)
	s.Policy("job", `
		path "ci/approvals/deploy-web" { capabilities = ["update"] }
		path "ci/creds/deploy-web"     { capabilities = ["read", "update"] }`)
	s.Policy("deciders", `
		path "ci/approvals/deploy-web/+"         { capabilities = ["read"] }
		path "ci/approvals/deploy-web/+/approve" { capabilities = ["update"] }`)
	s.Policy("auditors", `path "ci/events" { capabilities = ["read"] }`)
	people := s.Users("people",
		world.User{Name: "bob", Password: "correct horse", Policies: []string{"deciders"}},
		world.User{Name: "auditor", Password: "battery staple", Policies: []string{"auditors"}})
	token := issuer.Mint(job.job)

	bin := t.TempDir()
	require.NoError(t, os.Symlink(s.Binary(), filepath.Join(bin, "vault")))
	sh := &shell{state: filepath.Join(t.TempDir(), "variables"), tokens: map[string]string{
		"admin": s.RootToken(), "job": s.login(t, job, token).Token, "bob": people[0].Token, "auditor": people[1].Token,
	}}
	sh.env = append(s.ClientEnv(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
	require.NoError(t, os.WriteFile(sh.state, []byte("export ID_TOKEN='"+token+"' AUDIT_LOG='"+s.AuditPath+"'\n"), 0o600))
	return sh
}

// run runs one step. Only a step that prints a refusal may fail.
func (sh *shell) run(t *testing.T, step step) {
	t.Helper()
	output, code := sh.bash(t, step.who, step.command)
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
		require.Contains(t, sh.tokens, who, "the story names somebody whom nobody knows")
	}
	keep := "\ncode=$?; export -p | grep -v -e ' VAULT_TOKEN=' > " + sh.state + "; exit $code"
	run := exec.CommandContext(t.Context(), "bash", "-c", ". "+sh.state+"\nset -o pipefail\n"+command+keep)
	run.Env = append(sh.env, "VAULT_TOKEN="+sh.tokens[who])
	var both bytes.Buffer
	run.Stdout, run.Stderr = &both, &both
	err := run.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return both.String(), run.ProcessState.ExitCode()
}

// storyIsAudited finds each step in the audit file: who, what, and how it ended.
func (s *stand) storyIsAudited(t *testing.T, approval string) {
	t.Helper()
	for _, want := range []struct{ path, who, err string }{
		{"ci/approvals/deploy-web", "github-acme/web", ""},
		{"ci/approvals/deploy-web/" + approval, "people-bob", ""},
		{"ci/approvals/deploy-web/" + approval + "/approve", "people-bob", ""},
		{"ci/creds/deploy-web", "github-acme/web", "1 other(s) must approve"},
		{"ci/creds/deploy-web", "github-acme/web", ""},
		{"ci/creds/deploy-web", "github-acme/web", "is used"},
	} {
		entries := s.Audit().Responses().Path(want.path).Where(func(e world.Entry) bool {
			return e.Auth.DisplayName == want.who && (e.Error == "") == (want.err == "") && strings.Contains(e.Error, want.err)
		})
		require.Len(t, entries, 1, "%+v", want)
		require.NotEmpty(t, entries[0].Auth.EntityID)
	}
	issued := s.Audit().Responses().Path("ci/creds/deploy-web").Where(func(e world.Entry) bool { return e.Error == "" })[0]
	record := s.root.Read("ci/tokens/" + issued.Response.Data["token_id"].(string)).Data
	require.Equal(t, issued.Request.ID, record["request_id"], "the ledger and the audit file join")
	require.Equal(t, "octocat", record["job_actor"])
	require.Len(t, record["approved_by"], 1)
}
