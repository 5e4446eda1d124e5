// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlabtest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// deployScopes are those that a deploy token can have.
var deployScopes = []string{
	"read_repository", "read_registry", "write_registry", "read_package_registry", "write_package_registry",
	"read_virtual_registry", "write_virtual_registry",
}

func lower(s string) string { return strings.ToLower(s) }

// ruled is the project of a request by one of its Maintainers.
func (c call) ruled() (*project, *answer) {
	p, refused := c.find()
	if refused == nil && c.level(c.by, p) < Maintainer {
		refused = &forbidden
	}
	return p, refused
}

func (c call) listDeploy() answer {
	p, refused := c.ruled()
	if refused != nil {
		return *refused
	}
	onlyActive := c.r.URL.Query().Get("active") == "true"
	var all []map[string]any
	for _, t := range c.deploy {
		if t.project == p.id && (!onlyActive || c.activeDeploy(t)) {
			all = append(all, c.deployEntity(t))
		}
	}
	return page(c, all)
}

func (c call) createDeploy() answer {
	p, refused := c.ruled()
	if refused != nil {
		return *refused
	}
	in := params{from: c.params}
	name, scopes, expires := in.text("name"), in.texts("scopes", deployScopes), in.time("expires_at")
	if refused := in.refusal(); refused != nil {
		return *refused
	}
	if len(scopes) == 0 {
		return message(http.StatusBadRequest, "Scopes can't be blank")
	}
	t := &deployToken{id: c.nextID(), project: p.id, name: name, secret: newSecret("gldt-"), scopes: scopes, expires: expires}
	t.username = "gitlab+deploy-token-" + strconv.FormatInt(t.id, 10)
	c.deploy = append(c.deploy, t)
	entity := c.deployEntity(t)
	entity["token"] = t.secret
	return answer{status: http.StatusCreated, body: entity}
}

// deleteDeploy deletes a token; nothing of it stays.
func (c call) deleteDeploy() answer {
	p, refused := c.ruled()
	if refused != nil {
		return *refused
	}
	id, err := strconv.ParseInt(c.r.PathValue("token"), 10, 64)
	if err != nil {
		return answer{status: http.StatusBadRequest, body: map[string]any{"error": "token_id is invalid"}}
	}
	i := slices.IndexFunc(c.deploy, func(t *deployToken) bool { return t.id == id && t.project == p.id })
	if i < 0 {
		return message(http.StatusNotFound, "404 Not Found")
	}
	c.deploy = slices.Delete(c.deploy, i, i+1)
	return answer{status: http.StatusNoContent}
}

// deployEntity: `expired` counts whole days, though the token ends on its second.
func (c call) deployEntity(t *deployToken) map[string]any {
	entity := map[string]any{
		"id": t.id, "name": t.name, "username": t.username, "scopes": t.scopes, "revoked": false,
		"expires_at": nil, "expired": !t.expires.IsZero() && t.expires.Before(midnight(c.now())),
	}
	if !t.expires.IsZero() {
		entity["expires_at"] = t.expires.Format(stamp)
	}
	return entity
}
