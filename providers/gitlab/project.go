// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

const (
	// cacheFor is how long a path is trusted to belong to an id. A project can move
	// and another take its path: what is minted by a stale id is for the wrong one.
	cacheFor = time.Minute
	// cacheSize bounds the cache; beyond it starts anew.
	cacheSize = 4096
)

// project is one project as the platform names it.
type project struct {
	id   int64
	name string
}

// projectAnswer is what GitLab says of a project.
type projectAnswer struct {
	ID   int64  `json:"id"`
	Path string `json:"path_with_namespace"`
}

// project looks up the project of a path. Tokens are made, found and killed by its
// id, which a move does not change.
func (c *connection) project(ctx context.Context, account, repository string) (project, error) {
	full := account + "/" + repository
	if p, ok := c.projects.get(full); ok {
		return p, nil
	}
	var answer projectAnswer
	_, err := c.call(ctx, request{
		method: http.MethodGet, path: "/projects/" + url.PathEscape(full), want: http.StatusOK,
	}, &answer)
	switch {
	case isProjectGone(err):
		return project{}, invisible(full, err)
	case err != nil:
		return project{}, err
	case answer.ID <= 0 || answer.Path == "":
		return project{}, fault.New(fault.Nonsense, "gitlab: the answer for project %s has no id or path", full)
	case !strings.EqualFold(answer.Path, full):
		// GitLab follows a moved project; a role must not follow with it.
		return project{}, fault.New(fault.Refused, "gitlab: project %s has moved to %s: write the role with its new path", full, answer.Path)
	}
	p := project{id: answer.ID, name: path.Base(answer.Path)}
	c.projects.put(full, p)
	return p, nil
}

func invisible(full string, cause error) error {
	return fault.New(fault.Refused, "gitlab: there is no project %s, or our token's user does not see it: "+
		"add that user to the project or its group as Maintainer: %w", full, cause)
}

// projectCache keeps looked-up projects, without regard to case as GitLab does.
type projectCache struct {
	now     func() time.Time
	mu      sync.Mutex
	entries map[string]cached
}

type cached struct {
	project
	until time.Time
}

func newProjectCache(now func() time.Time) *projectCache {
	return &projectCache{now: now, entries: map[string]cached{}}
}

func (c *projectCache) get(full string) (project, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.entries[strings.ToLower(full)]
	if !ok || !c.now().Before(entry.until) {
		return project{}, false
	}
	return entry.project, true
}

func (c *projectCache) put(full string, p project) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= cacheSize {
		clear(c.entries)
	}
	c.entries[strings.ToLower(full)] = cached{project: p, until: c.now().Add(cacheFor)}
}

func (c *projectCache) drop(full string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, strings.ToLower(full))
}
