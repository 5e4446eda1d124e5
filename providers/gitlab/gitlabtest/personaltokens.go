// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlabtest

import (
	"net/http"
	"slices"
	"strconv"
)

// week is how many days a rotated token gets where none are named.
const week = 7

func (c call) showSelf() answer { return answer{status: http.StatusOK, body: c.entity(c.token)} }

// listPersonal: people see their own.
func (c call) listPersonal() answer {
	query := c.r.URL.Query()
	if id := query.Get("user_id"); id != "" && id != strconv.FormatInt(c.by.id, 10) {
		return unauthorized
	}
	state := query.Get("state")
	var all []map[string]any
	for _, t := range c.access {
		if t.user == c.by.id && (state == "" || c.activeAccess(t) == (state == "active")) {
			all = append(all, c.entity(t))
		}
	}
	return page(c, all)
}

// own is the caller's token that a request names.
func (c call) own() *accessToken {
	id, _ := strconv.ParseInt(c.r.PathValue("token"), 10, 64)
	i := slices.IndexFunc(c.access, func(t *accessToken) bool { return t.id == id && t.user == c.by.id })
	if i < 0 {
		return nil
	}
	return c.access[i]
}

func (c call) showPersonal() answer {
	t := c.own()
	if t == nil {
		return unauthorized
	}
	return answer{status: http.StatusOK, body: c.entity(t)}
}

func (c call) rotateSelf() answer { return c.rotate(c.token) }

func (c call) rotatePersonal() answer {
	t := c.own()
	if t == nil {
		return unauthorized
	}
	return c.rotate(t)
}

// rotate replaces a token: the old one is dead with the answer.
func (c call) rotate(old *accessToken) answer {
	in := params{from: c.params}
	expires := in.date("expires_at")
	if refused := in.refusal(); refused != nil {
		return *refused
	}
	if old.revoked {
		return badRequest("Token already revoked")
	}
	next := &accessToken{
		user: old.user, project: old.project, previous: old.id,
		name: old.name, scopes: old.scopes, level: old.level,
	}
	if refused := c.store(next, expires, week); refused != nil {
		return *refused
	}
	old.revoked = true
	return answer{status: http.StatusOK, body: c.withSecret(next)}
}

// revokeFamily revokes all that came of a token.
func (c *call) revokeFamily(id int64) {
	for _, t := range c.access {
		if t.previous == id {
			t.revoked = true
			c.revokeFamily(t.id)
		}
	}
}
