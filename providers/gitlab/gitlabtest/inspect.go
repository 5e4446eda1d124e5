// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlabtest

import (
	"crypto/rand"
	"slices"
	"time"
)

// Token is one token as an inspection sees it.
type Token struct {
	// Kind is personal, project or deploy.
	Kind string
	ID   int64
	Name string
	// Project is the path; empty for a personal token.
	Project string
	Scopes  []string
	// AccessLevel is a project token's.
	AccessLevel int
	ExpiresAt   time.Time
	Live        bool
}

// Tokens are all that the instance knows, revoked project and personal ones too.
func (i *Instance) Tokens() []Token {
	i.mu.Lock()
	defer i.mu.Unlock()
	var tokens []Token
	for _, t := range i.access {
		seen := Token{
			Kind: "personal", ID: t.id, Name: t.name, Scopes: slices.Clone(t.scopes),
			AccessLevel: t.level, ExpiresAt: t.expires, Live: i.activeAccess(t),
		}
		if p := i.projects[t.project]; p != nil {
			seen.Kind, seen.Project = "project", p.path
		}
		tokens = append(tokens, seen)
	}
	for _, t := range i.deploy {
		tokens = append(tokens, Token{
			Kind: "deploy", ID: t.id, Name: t.name, Project: i.projects[t.project].path,
			Scopes: slices.Clone(t.scopes), ExpiresAt: t.expires, Live: i.activeDeploy(t),
		})
	}
	return tokens
}

// Live are the names of the live project and deploy tokens.
func (i *Instance) Live() []string {
	var names []string
	for _, t := range i.Tokens() {
		if t.Live && t.Kind != "personal" {
			names = append(names, t.Name)
		}
	}
	return names
}

// IsLive reports whether a token of any kind works now.
func (i *Instance) IsLive(secret string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if t := i.accessBySecret(secret); t != nil {
		return i.activeAccess(t)
	}
	return slices.ContainsFunc(i.deploy, func(t *deployToken) bool { return t.secret == secret && i.activeDeploy(t) })
}

// Request is what a client asked. It holds no token.
type Request struct {
	Method, Path, Query, Body string
}

func (r Request) String() string {
	s := r.Method + " " + r.Path
	if r.Query != "" {
		s += "?" + r.Query
	}
	if r.Body != "" {
		s += "\n" + r.Body
	}
	return s
}

// Requests are all since the start or the last Forget.
func (i *Instance) Requests() []Request {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.requests)
}

// Forget empties the list of requests.
func (i *Instance) Forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.requests = nil
}

func (i *Instance) accessBySecret(secret string) *accessToken {
	for _, t := range i.access {
		if t.secret == secret {
			return t
		}
	}
	return nil
}

// activeAccess: an access token ends as its day begins.
func (i *Instance) activeAccess(t *accessToken) bool {
	return !t.revoked && !i.expired(t)
}

func (i *Instance) expired(t *accessToken) bool {
	return !t.expires.IsZero() && !i.now().Before(t.expires)
}

// activeDeploy: a deploy token ends with its second.
func (i *Instance) activeDeploy(t *deployToken) bool {
	return t.expires.IsZero() || !i.now().After(t.expires)
}

func newSecret(prefix string) string { return prefix + rand.Text()[:20] }
