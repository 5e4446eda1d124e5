// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// gitUser is the user name that goes with a token over git.
const gitUser = "x-access-token"

// isGit tells the addresses of git from those of the API.
func isGit(path string) bool {
	parts := strings.SplitN(path, "/", 4)
	return len(parts) == 4 && strings.HasSuffix(parts[2], ".git")
}

// gitService is the program that a request wants: by query at first, by path later.
func gitService(r *http.Request, rest string) string {
	if rest == "info/refs" {
		return r.URL.Query().Get("service")
	}
	return rest
}

// gitAccess is the level of contents that each program needs.
var gitAccess = map[string]string{"git-upload-pack": "read", "git-receive-pack": "write"}

// serveGit serves git's smart protocol to whoever shows a token.
func (s *Simulator) serveGit(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(r.URL.Path, "/", 4)
	owner, name, rest := parts[1], strings.TrimSuffix(parts[2], ".git"), parts[3]
	service := gitService(r, rest)
	entry, _ := s.note(r, "git "+service, nil)
	recorder := &statusRecorder{ResponseWriter: w}
	defer func() { s.journal.close(entry, recorder.status) }()

	if !s.pause(r, time.Duration(s.latency.Load())) {
		panic(http.ErrAbortHandler)
	}
	f := s.faults.take(r.Method, r.URL.Path)
	if f.Reset { // a recorder cannot be hijacked
		_, _ = s.inflict(w, r, f)
		return
	}
	if dealt, _ := s.inflict(recorder, r, f); dealt {
		return
	}
	repo, status, message := s.admitGit(r, owner, name, service)
	if repo == nil {
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
		}
		http.Error(recorder, message, status)
		return
	}
	s.backend(recorder, r, repo, rest)
}

// admitGit finds the repository, if the token of the request may use the service
// on it; else it says what to answer.
func (s *Simulator) admitGit(r *http.Request, owner, name, service string) (*repository, int, string) {
	level, known := gitAccess[service]
	if !known {
		return nil, http.StatusForbidden, "Please upgrade your git client.\nGitHub.com no longer supports git over dumb-http."
	}
	user, password, ok := r.BasicAuth()
	if !ok {
		return nil, http.StatusUnauthorized, "Repository not found."
	}
	t, refusal := s.admit(password)
	if refusal != nil || user != gitUser {
		return nil, http.StatusUnauthorized, "Invalid username or token."
	}
	repo := s.reachable(t, owner, name)
	switch {
	case repo == nil:
		return nil, http.StatusNotFound, "Repository not found."
	case !s.allows(t, "contents", level):
		return nil, http.StatusForbidden, "Write access to repository not granted."
	}
	return repo, 0, ""
}

// backend runs git http-backend on the repository. The token does not go with it.
func (s *Simulator) backend(w http.ResponseWriter, r *http.Request, repo *repository, rest string) {
	dir, err := repo.bare()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	program, err := exec.LookPath("git")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	inner := r.Clone(r.Context())
	inner.Header.Del("Authorization")
	inner.URL.Path = "/" + rest
	if inner.ContentLength < 0 {
		// CGI has no chunked bodies, git sends large packs so.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		inner.Body, inner.ContentLength, inner.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	}
	handler := cgi.Handler{
		Path: program, Args: []string{"http-backend"}, Dir: filepath.Dir(dir), Stderr: io.Discard, Logger: log.New(io.Discard, "", 0),
		Env: append([]string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=" + gitUser}, gitEnvironment...),
	}
	handler.ServeHTTP(w, inner)
}

// statusRecorder remembers the status for the journal.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (w *statusRecorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
