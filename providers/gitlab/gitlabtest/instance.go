// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package gitlabtest is a GitLab in memory, as strict as the real one about who
// may do what and in the same words: for tests and for demonstrations.
//
// It knows projects, members, personal, project and deploy tokens, and the part
// of the API that makes, shows and kills them. All projects are private. Time
// comes from outside; expiry follows it.
package gitlabtest

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Access levels of members.
const (
	Guest      = 10
	Reporter   = 20
	Developer  = 30
	Maintainer = 40
	Owner      = 50
)

// Instance is one GitLab. It is an http.Handler and safe for concurrent use.
type Instance struct {
	now  func() time.Time
	mux  *http.ServeMux
	done chan struct{}
	once sync.Once

	mu       sync.Mutex
	lastID   int64
	users    map[int64]*user
	projects map[int64]*project
	moved    map[string]int64
	access   []*accessToken
	deploy   []*deployToken
	faults   []*Fault
	requests []Request
	git      *gitServer
}

type user struct {
	id   int64
	name string
	bot  bool
	// levels are memberships by the path of a group or the id of a project.
	groups   map[string]int
	projects map[int64]int
}

type project struct {
	id   int64
	path string
	// closed projects let nobody make project access tokens: the group's setting.
	closed bool
}

type accessToken struct {
	id, user int64
	// project is 0 for a personal access token.
	project  int64
	previous int64
	name     string
	secret   string
	scopes   []string
	level    int
	created  time.Time
	expires  time.Time
	lastUsed time.Time
	revoked  bool
}

type deployToken struct {
	id, project int64
	name        string
	username    string
	secret      string
	scopes      []string
	expires     time.Time
}

// New makes an empty instance. Close ends requests that a Fault lets hang.
func New(now func() time.Time) *Instance {
	i := &Instance{
		now: now, done: make(chan struct{}),
		users: map[int64]*user{}, projects: map[int64]*project{}, moved: map[string]int64{},
	}
	i.mux = i.routes()
	return i
}

// Close lets hanging requests end.
func (i *Instance) Close() { i.once.Do(func() { close(i.done) }) }

func (i *Instance) nextID() int64 { i.lastID++; return i.lastID }

// AddUser adds a person and returns the id.
func (i *Instance) AddUser(name string) int64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.newUser(name, false).id
}

func (i *Instance) newUser(name string, bot bool) *user {
	u := &user{id: i.nextID(), name: name, bot: bot, groups: map[string]int{}, projects: map[int64]int{}}
	i.users[u.id] = u
	return u
}

// AddProject adds a private project (group/name) and returns the id.
func (i *Instance) AddProject(path string) int64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	p := &project{id: i.nextID(), path: path}
	i.projects[p.id] = p
	delete(i.moved, strings.ToLower(path))
	return p.id
}

// SetMember gives a user an access level in a group and all below it, or in one
// project; 0 takes it away.
func (i *Instance) SetMember(userID int64, path string, level int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	u := i.users[userID]
	if p := i.byPath(path); p != nil {
		u.projects[p.id] = level
		return
	}
	u.groups[strings.ToLower(path)] = level
}

// AddBot adds a group access token's bot user.
func (i *Instance) AddBot(name string) int64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.newUser(name, true).id
}

// AddPersonalToken gives a user a token that ends as the day of expires begins
// (zero: never) and returns its value.
func (i *Instance) AddPersonalToken(userID int64, name string, scopes []string, expires time.Time) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	t := &accessToken{
		id: i.nextID(), user: userID, name: name, secret: newSecret("glpat-"), scopes: scopes,
		created: i.now(), expires: midnight(expires),
	}
	i.access = append(i.access, t)
	return t.secret
}

// RevokePersonal revokes a user's personal tokens, but not these.
func (i *Instance) RevokePersonal(userID int64, spared ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, t := range i.access {
		if t.user == userID && t.project == 0 && !slices.Contains(spared, t.secret) {
			t.revoked = true
		}
	}
}

// MoveProject renames or transfers a project; the old path leads to the new one
// until another project takes it.
func (i *Instance) MoveProject(from, to string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p := i.byPath(from)
	i.moved[strings.ToLower(p.path)] = p.id
	p.path = to
}

// CloseProject keeps everybody from making project access tokens there, as the
// group's setting does.
func (i *Instance) CloseProject(path string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.byPath(path).closed = true
}

// DeleteProject deletes a project with its tokens and their bots.
func (i *Instance) DeleteProject(path string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	id := i.byPath(path).id
	delete(i.projects, id)
	i.deploy = slices.DeleteFunc(i.deploy, func(t *deployToken) bool { return t.project == id })
	for _, t := range i.access {
		if t.project == id {
			delete(i.users, t.user)
		}
	}
	i.access = slices.DeleteFunc(i.access, func(t *accessToken) bool { return t.project == id })
}

// RemoveBot takes a project token's bot out of its project, as an owner can; the
// token is revoked with it.
func (i *Instance) RemoveBot(tokenName string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, t := range i.access {
		if t.name == tokenName {
			t.revoked = true
			delete(i.users[t.user].projects, t.project)
		}
	}
}

// byPath finds a project without regard to case.
func (i *Instance) byPath(path string) *project {
	for p := range maps.Values(i.projects) {
		if strings.EqualFold(p.path, path) {
			return p
		}
	}
	return nil
}

// level is a user's access level in a project: the highest of all above it.
func (i *Instance) level(u *user, p *project) int {
	level := u.projects[p.id]
	path := strings.ToLower(p.path)
	for group, granted := range u.groups {
		if strings.HasPrefix(path, group+"/") {
			level = max(level, granted)
		}
	}
	return level
}

func midnight(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(24 * time.Hour)
}
