// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlabtest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cgi"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// gitServer serves the projects' repositories through git's own HTTP backend.
type gitServer struct {
	program, root string
}

// ServeGit lets the instance serve git over HTTP as well, from bare repositories
// in the folder root: one for each project that there is. It needs git.
func (i *Instance) ServeGit(ctx context.Context, root string) error {
	program, err := exec.LookPath("git")
	if err != nil {
		return fmt.Errorf("gitlabtest: serve git: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for id := range i.projects {
		init := exec.CommandContext(ctx, program, "init", "--quiet", "--bare", "--initial-branch=main", folder(root, id))
		if out, err := init.CombinedOutput(); err != nil {
			return fmt.Errorf("gitlabtest: make a repository: %w: %s", err, out)
		}
	}
	i.git = &gitServer{program: program, root: root}
	return nil
}

func folder(root string, id int64) string {
	return filepath.Join(root, strconv.FormatInt(id, 10)+".git")
}

// isGit reports a request for a repository, where those are served.
func (i *Instance) isGit(r *http.Request) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.git != nil && strings.Contains(r.URL.Path, ".git/") && !strings.HasPrefix(r.URL.Path, apiPath)
}

// serveGit answers a request for a repository: /group/project.git/...
func (i *Instance) serveGit(w http.ResponseWriter, r *http.Request) {
	path, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".git/")
	write := strings.HasSuffix(r.URL.Path, "/git-receive-pack") || r.URL.Query().Get("service") == "git-receive-pack"
	id, status := i.gitAccess(r, path, write)
	switch status {
	case http.StatusOK:
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="GitLab"`)
		http.Error(w, "HTTP Basic: Access denied.", status)
		return
	default:
		http.Error(w, http.StatusText(status), status)
		return
	}
	backend := cgi.Handler{
		Path: i.git.program, Args: []string{"http-backend"}, Root: "/" + path + ".git",
		Env: []string{"GIT_PROJECT_ROOT=" + folder(i.git.root, id), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=token"},
	}
	backend.ServeHTTP(w, r)
}

// gitAccess decides on one request by scopes, access level and, for a deploy
// token, user name.
func (i *Instance) gitAccess(r *http.Request, path string, write bool) (int64, int) {
	name, secret, _ := r.BasicAuth()
	i.mu.Lock()
	defer i.mu.Unlock()
	p := i.byPath(path)
	if t := i.accessBySecret(secret); t != nil && name != "" && i.activeAccess(t) && i.users[t.user] != nil {
		if p == nil || i.level(i.users[t.user], p) < Guest {
			return 0, http.StatusNotFound
		}
		level, scopes := Reporter, []string{"api", "read_repository", "write_repository"}
		if write {
			level, scopes = Developer, []string{"api", "write_repository"}
		}
		if i.level(i.users[t.user], p) < level || !overlap(scopes, t.scopes) {
			return 0, http.StatusForbidden
		}
		return p.id, http.StatusOK
	}
	for _, t := range i.deploy {
		if t.secret != secret || t.username != name || !i.activeDeploy(t) {
			continue
		}
		switch {
		case p == nil || t.project != p.id:
			return 0, http.StatusNotFound
		case write || !slices.Contains(t.scopes, "read_repository"):
			return 0, http.StatusForbidden
		}
		return p.id, http.StatusOK
	}
	return 0, http.StatusUnauthorized
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}
