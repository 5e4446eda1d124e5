// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlabtest

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// projectScopes are those that a project access token can have.
var projectScopes = []string{
	"api", "read_api", "read_repository", "write_repository", "read_registry", "write_registry",
	"create_runner", "manage_runner", "ai_features", "k8s_proxy", "self_rotate",
}

const (
	noSuchToken = "project Access Token"
	stamp       = "2006-01-02T15:04:05.000Z"
	// longestLife is GitLab's default bound in days.
	longestLife = 365
)

// find resolves the project of a request, which may be an id or a path. It must
// be visible to the caller.
func (c call) find() (*project, *answer) {
	value := c.r.PathValue("project")
	var p *project
	if id, err := strconv.ParseInt(value, 10, 64); err == nil {
		p = c.projects[id]
	} else if p = c.byPath(value); p == nil {
		p = c.projects[c.moved[lower(value)]]
	}
	if p == nil || c.level(c.by, p) < Guest {
		gone := notFound("Project")
		return nil, &gone
	}
	return p, nil
}

// showProject: an old path leads to the project's new one.
func (c call) showProject() answer {
	p, refused := c.find()
	if refused != nil {
		return *refused
	}
	return answer{status: http.StatusOK, body: map[string]any{
		"id": p.id, "path_with_namespace": p.path, "visibility": "private",
	}}
}

// listProjects are those where the caller is a member of at least a level.
func (c call) listProjects() answer {
	var all []map[string]any
	for _, id := range slices.Sorted(maps.Keys(c.projects)) {
		if p := c.projects[id]; c.level(c.by, p) >= c.query("min_access_level", Guest) {
			all = append(all, map[string]any{"id": p.id, "path_with_namespace": p.path})
		}
	}
	return page(c, all)
}

func (c call) showUser() answer {
	id, _ := strconv.ParseInt(c.r.PathValue("user"), 10, 64)
	u := c.users[id]
	if u == nil {
		return notFound("User")
	}
	return answer{status: http.StatusOK, body: map[string]any{"id": u.id, "username": u.name, "bot": u.bot, "state": "active"}}
}

// seen is the project of a request by somebody who may see its tokens.
func (c call) seen() (*project, *answer) {
	p, refused := c.find()
	if refused == nil && c.level(c.by, p) < Maintainer {
		refused = &unauthorized
	}
	return p, refused
}

func (c call) listProject() answer {
	p, refused := c.seen()
	if refused != nil {
		return *refused
	}
	state := c.r.URL.Query().Get("state")
	var all []map[string]any
	for _, t := range c.access {
		active := c.activeAccess(t)
		if t.project == p.id && (state == "" || active == (state == "active")) {
			all = append(all, c.entity(t))
		}
	}
	return page(c, all)
}

// projectToken is the token that a request names.
func (c call) projectToken(p *project) *accessToken {
	id, _ := strconv.ParseInt(c.r.PathValue("token"), 10, 64)
	i := slices.IndexFunc(c.access, func(t *accessToken) bool { return t.id == id && t.project == p.id })
	if i < 0 {
		return nil
	}
	return c.access[i]
}

func (c call) showProjectToken() answer {
	p, refused := c.seen()
	if refused != nil {
		return *refused
	}
	t := c.projectToken(p)
	if t == nil {
		return notFound(noSuchToken)
	}
	return answer{status: http.StatusOK, body: c.entity(t)}
}

// deleteProject revokes a token; it stays visible. All that speaks against it is
// 400.
func (c call) deleteProject() answer {
	p, refused := c.find()
	if refused != nil {
		return *refused
	}
	t := c.projectToken(p)
	if t == nil {
		return notFound(noSuchToken)
	}
	if c.level(c.by, p) < Maintainer {
		return badRequest(c.by.name + " cannot delete " + t.name)
	}
	if c.users[t.user].projects[p.id] == 0 {
		return badRequest("Failed to find bot user")
	}
	t.revoked = true
	return answer{status: http.StatusNoContent}
}

func (c call) createProject() answer {
	p, refused := c.find()
	if refused != nil {
		return *refused
	}
	in := params{from: c.params}
	name, scopes := in.text("name"), in.texts("scopes", projectScopes)
	level, expires := in.level("access_level"), in.date("expires_at")
	if refused := in.refusal(); refused != nil {
		return *refused
	}
	own := c.level(c.by, p)
	switch {
	case c.by.bot || p.closed || own < Maintainer:
		return badRequest("User does not have permission to create project access token")
	case level > own:
		return badRequest("Access level of the token contains permissions not held by the creating user")
	}
	t := &accessToken{project: p.id, name: name, scopes: scopes, level: level}
	if refused := c.store(t, expires, longestLife); refused != nil {
		return *refused
	}
	bot := c.newUser("project_"+strconv.FormatInt(p.id, 10)+"_bot_"+strconv.FormatInt(t.id, 10), true)
	bot.projects[p.id] = level
	t.user = bot.id
	return answer{status: http.StatusCreated, body: c.withSecret(t)}
}

// store gives a new access token its number, value and end: the given one, else
// so many days from now.
func (c call) store(t *accessToken, expires time.Time, days int) *answer {
	today := midnight(c.now())
	if expires.IsZero() {
		expires = today.AddDate(0, 0, days)
	}
	if last := today.AddDate(0, 0, longestLife); expires.After(last) {
		bad := badRequest("Expiration date must be before " + last.Format(time.DateOnly))
		return &bad
	}
	t.id, t.secret, t.created, t.expires = c.nextID(), newSecret("glpat-"), c.now(), expires
	c.access = append(c.access, t)
	return nil
}

func (c call) entity(t *accessToken) map[string]any {
	entity := map[string]any{
		"id": t.id, "name": t.name, "user_id": t.user, "scopes": t.scopes, "revoked": t.revoked,
		"active": c.activeAccess(t), "created_at": t.created.UTC().Format(stamp), "description": nil,
		"expires_at": nil, "last_used_at": nil,
	}
	if !t.expires.IsZero() {
		entity["expires_at"] = t.expires.Format(time.DateOnly)
	}
	if !t.lastUsed.IsZero() {
		entity["last_used_at"] = t.lastUsed.UTC().Format(stamp)
	}
	if t.project != 0 {
		entity["access_level"], entity["resource_type"], entity["resource_id"] = t.level, "project", t.project
	}
	return entity
}

func (c call) withSecret(t *accessToken) map[string]any {
	entity := c.entity(t)
	entity["token"] = t.secret
	return entity
}
