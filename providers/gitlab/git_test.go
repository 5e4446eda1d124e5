// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
)

// TestGit: a token and its user name do with git what they were made for, and
// nothing after they are revoked.
func TestGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs git")
	}
	w := newWorld(t)
	require.NoError(t, w.ServeGit(t.Context(), t.TempDir()))
	c := w.connect(t, w.token)

	writer, handle := mint(t, c, "repository=write")
	clone := filepath.Join(t.TempDir(), "web")
	require.NoError(t, git(t, "", "clone", w.remote(t, writer, "acme/web"), clone))
	require.NoError(t, os.WriteFile(filepath.Join(clone, "a"), []byte("a"), 0o600))
	require.NoError(t, git(t, clone, "add", "a"))
	require.NoError(t, git(t, clone, "commit", "-m", "a"))
	require.NoError(t, git(t, clone, "push", "origin", "HEAD:main"))
	require.Error(t, git(t, "", "ls-remote", w.remote(t, writer, "acme/tools/lint")), "another project")

	for _, permissions := range [][]string{{"repository=read"}, {"repository=read", "api=read"}} {
		reader, readerHandle := mint(t, c, permissions...)
		remote := w.remote(t, reader, "acme/web")
		require.NoError(t, git(t, "", "ls-remote", remote))
		require.Error(t, git(t, clone, "push", remote, "HEAD:other"))
		require.NoError(t, c.Revoke(t.Context(), readerHandle))
		require.Error(t, git(t, "", "ls-remote", remote))
	}
	puller, _ := mint(t, c, "registry=write")
	require.Error(t, git(t, "", "ls-remote", w.remote(t, puller, "acme/web")), "a registry's token")

	require.NoError(t, c.Revoke(t.Context(), handle))
	require.Error(t, git(t, clone, "push", "origin", "HEAD:again"))
}

func (w *world) remote(t *testing.T, token *providers.Token, project string) string {
	t.Helper()
	u, err := url.Parse(w.server.URL + "/" + project + ".git")
	require.NoError(t, err)
	u.User = url.UserPassword(token.Username, token.Secret)
	return u.String()
}

// git runs git without anybody's configuration and without asking for passwords.
func git(t *testing.T, folder string, args ...string) error {
	t.Helper()
	run := exec.CommandContext(t.Context(), "git", args...)
	run.Dir = folder
	run.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com")
	out, err := run.CombinedOutput()
	t.Logf("git %s: %v\n%s", args[0], err, out)
	return err
}
