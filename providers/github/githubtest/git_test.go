// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// git runs git as somebody with no settings of their own.
func git(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append(gitEnvironment, "HOME="+t.TempDir(), "GIT_ASKPASS=true", "GIT_SSL_NO_VERIFY=1",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com")...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *setup) remote(user, token, repository string) string {
	scheme, rest, _ := strings.Cut(s.GitURL("Acme", repository), "://")
	return scheme + "://" + user + ":" + token + "@" + rest
}

func TestCloneAndPush(t *testing.T) {
	for name, options := range map[string]Options{
		"short token": {}, "long token": {LongTokens: true}, "TLS": {TLS: true}, "Enterprise Server": {PathPrefix: "/api/v3"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options)
			s.client.Transport = trusting(t, s.Simulator)
			token := s.token(want("web", "contents", "write"))
			dir := filepath.Join(t.TempDir(), "web")
			out, err := git(t, t.TempDir(), "clone", s.remote("x-access-token", token, "web"), dir)
			require.NoError(t, err, out)
			// Over git's postBuffer, so that the pack comes in chunks.
			require.NoError(t, os.WriteFile(filepath.Join(dir, "noise"), noise(2<<20), 0o644))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "new.txt"), []byte("new"), 0o644))
			for _, args := range [][]string{{"add", "."}, {"commit", "-m", "change"}, {"push", "origin", "HEAD:main"}} {
				out, err = git(t, dir, args...)
				require.NoError(t, err, out)
			}
			head, err := git(t, dir, "rev-parse", "HEAD")
			require.NoError(t, err)
			require.Equal(t, strings.TrimSpace(head), s.Head("acme", "web", "main"))
			r := s.asToken(token, "GET", "/repos/acme/web/contents/new.txt", nil)
			require.Equal(t, http.StatusOK, r.status)
			for _, seen := range s.Requests() {
				require.NotContains(t, seen.Header.Get("Authorization"), "eC1h") // x-a, as Basic writes it
			}
		})
	}
}

func TestGitRefusals(t *testing.T) {
	s := start(t, Options{})
	reader, writer := s.token(want("web", "contents", "read")), s.token(want("web", "contents", "write"))
	blind, dead := s.token(want("web", "statuses", "write")), s.token(nil)
	require.Equal(t, http.StatusNoContent, s.asToken(dead, "DELETE", revocation, nil).status)
	work := filepath.Join(t.TempDir(), "web")
	out, err := git(t, t.TempDir(), "clone", s.remote("x-access-token", reader, "web"), work)
	require.NoError(t, err, out)
	out, err = git(t, work, "commit", "--allow-empty", "-m", "change")
	require.NoError(t, err, out)

	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"push with read":              {[]string{"push", s.remote("x-access-token", reader, "web"), "main"}, "Write access to repository not granted"},
		"push to another":             {[]string{"push", s.remote("x-access-token", writer, "api"), "main"}, "not found"},
		"read without contents":       {[]string{"ls-remote", s.remote("x-access-token", blind, "web")}, "403"},
		"read another":                {[]string{"ls-remote", s.remote("x-access-token", reader, "hidden")}, "not found"},
		"read with a dead token":      {[]string{"ls-remote", s.remote("x-access-token", dead, "web")}, "Authentication failed"},
		"read as somebody":            {[]string{"ls-remote", s.remote("oauth2", reader, "web")}, "Authentication failed"},
		"read without authentication": {[]string{"ls-remote", s.GitURL("acme", "web")}, "Authentication failed"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := git(t, work, test.args...)
			require.Error(t, err)
			require.Contains(t, out, test.says)
		})
	}
	r := s.do("GET", "/acme/web.git/info/refs?service=git-upload-pack", "", nil)
	require.Equal(t, http.StatusUnauthorized, r.status)
	require.Equal(t, `Basic realm="GitHub"`, r.header.Get("WWW-Authenticate"))
	require.Equal(t, http.StatusForbidden, s.do("GET", "/acme/web.git/HEAD", "", nil).status, "the dumb protocol")
}

func TestGitFaults(t *testing.T) {
	s := start(t, Options{})
	path := "/acme/web.git/info/refs?service=git-upload-pack"
	s.Inject(Fault{Match: "GET /acme/*/info/refs", Times: 1, Status: http.StatusBadGateway})
	s.Inject(Fault{Match: "POST /acme/*/git-upload-pack", Times: 1, Reset: true})
	require.Equal(t, http.StatusBadGateway, s.do("GET", path, "", nil).status)
	_, err := s.try("POST", "/acme/web.git/git-upload-pack", "", nil)
	require.Error(t, err)
	require.Equal(t, 2, s.Counts()["git git-upload-pack"])
}
