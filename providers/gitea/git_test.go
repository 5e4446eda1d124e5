// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea_test

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
)

// workspace is where a CI job runs git with one credential.
type workspace struct {
	dir, username, token string
}

func newWorkspace(t *testing.T, token *providers.Token) workspace {
	t.Helper()
	return workspace{dir: t.TempDir(), username: token.Username, token: token.Secret}
}

func (w workspace) git(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=ci", "GIT_AUTHOR_EMAIL=ci@example.com", "GIT_COMMITTER_NAME=ci", "GIT_COMMITTER_EMAIL=ci@example.com",
	}
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// clone clones a repository into a new folder of that name.
func (w workspace) clone(t *testing.T, owner, name string) (string, error) {
	t.Helper()
	u, err := url.Parse(server.CloneURL(owner, name))
	require.NoError(t, err)
	u.User = url.UserPassword(w.username, w.token)
	dir, err := os.MkdirTemp(w.dir, name)
	require.NoError(t, err)
	return w.git(w.dir, "clone", "--quiet", u.String(), dir)
}

// commitAndPush adds a file to the clone of web and pushes it.
func (w workspace) commitAndPush(t *testing.T, file string) (string, error) {
	t.Helper()
	clones, err := filepath.Glob(filepath.Join(w.dir, "web*"))
	require.NoError(t, err)
	require.NotEmpty(t, clones)
	require.NoError(t, os.WriteFile(filepath.Join(clones[0], file), []byte("built"), 0o600))
	for _, args := range [][]string{{"add", "."}, {"commit", "--quiet", "-m", "add " + file}} {
		output, err := w.git(clones[0], args...)
		require.NoError(t, err, output)
	}
	return w.git(clones[0], "push", "--quiet", "origin", "main")
}

func TestGitWithWriteCredential(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	token, handle := mint(t, c, w.grant(t, "repository=write"))
	job := newWorkspace(t, token)

	output, err := job.clone(t, w.organization, "web")
	require.NoError(t, err, output)
	output, err = job.commitAndPush(t, "first.txt")
	require.NoError(t, err, output)

	output, err = job.clone(t, w.organization, "api")
	require.Error(t, err, "it reaches a repository that is not its role's")
	require.Contains(t, output, "not found")

	require.NoError(t, c.Revoke(t.Context(), handle))
	output, err = job.commitAndPush(t, "second.txt")
	require.Error(t, err, "it works after its revocation")
	require.Contains(t, output, "Authentication failed")
	_, err = job.clone(t, w.organization, "web")
	require.Error(t, err, "it works after its revocation")
}

func TestGitWithReadCredential(t *testing.T) {
	w := newWorld(t)
	token, _ := mint(t, connect(t, w.settings), w.grant(t, "repository=read"))
	job := newWorkspace(t, token)
	output, err := job.clone(t, w.organization, "web")
	require.NoError(t, err, output)
	_, err = job.commitAndPush(t, "never.txt")
	require.Error(t, err, "a credential to read pushes")
}
