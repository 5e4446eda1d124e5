// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// authenticateToken finds the token that a request shows: as Bearer, as token, or
// as the password of Basic.
func (s *Simulator) authenticateToken(r *http.Request) (*token, *answer) {
	scheme, secret, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok {
		return nil, refuse(http.StatusUnauthorized, msgRequiresLogin)
	}
	if strings.EqualFold(scheme, "Basic") {
		_, secret, _ = r.BasicAuth()
	}
	return s.admit(secret)
}

// admit lets a token in that works now.
func (s *Simulator) admit(secret string) (*token, *answer) {
	t, revoked := s.tokens.find(secret)
	if t == nil {
		return nil, refuse(http.StatusUnauthorized, msgCredentials)
	}
	if s.now().Before(t.createdAt.Add(s.options.ReplicationDelay)) {
		return nil, refuse(s.options.ReplicationStatus, msgCredentials)
	}
	switch s.state(t, revoked) {
	case Live:
		return t, nil
	case Suspended:
		return nil, refuse(http.StatusForbidden, msgSuspended)
	default:
		return nil, refuse(http.StatusUnauthorized, msgCredentials)
	}
}

// revoke kills the token that asks.
func (s *Simulator) revoke(c *call) *answer {
	if !s.tokens.revoke(c.token, s.now()) {
		return refuse(http.StatusUnauthorized, msgCredentials)
	}
	return &answer{status: http.StatusNoContent}
}

// reachable finds a repository that the token reaches, by what its installation
// has now.
func (s *Simulator) reachable(t *token, owner, name string) *repository {
	in := s.world.installation(t.installation.ID)
	if in == nil || fold(owner) != fold(in.Account) {
		return nil
	}
	r := s.world.find(owner, name)
	switch {
	case r == nil:
		return nil
	case t.repositories != nil && !slices.Contains(t.repositories, r):
		return nil
	case !t.beyond && !in.selects(fold(name)):
		return nil
	}
	return r
}

// allows says whether the token may, by what its installation has granted now.
func (s *Simulator) allows(t *token, resource, level string) bool {
	in := s.world.installation(t.installation.ID)
	if in == nil || ranks[t.permissions[resource]] < ranks[level] {
		return false
	}
	return t.beyond || ranks[in.Permissions[resource]] >= ranks[level]
}

// permitted finds the repository of the path, if the token reaches it and may.
func (s *Simulator) permitted(c *call, resource, level string) (*repository, *answer) {
	c.header.Set("X-Accepted-Github-Permissions", resource+"="+level)
	r := s.reachable(c.token, c.r.PathValue("owner"), c.r.PathValue("repo"))
	switch {
	case r == nil:
		return nil, notFound()
	case !s.allows(c.token, resource, level):
		return nil, refuse(http.StatusForbidden, msgForbidden)
	}
	return r, nil
}

func (s *Simulator) listRepositories(c *call) *answer {
	list := c.token.repositories
	if list == nil {
		in := cmp.Or(s.world.installation(c.token.installation.ID), c.token.installation)
		list = s.world.repositories(in)
	}
	list = slices.DeleteFunc(slices.Clone(list), func(r *repository) bool {
		return s.reachable(c.token, r.owner, r.name) == nil
	})
	body := fmt.Appendf(nil, `{"total_count":%d,"repository_selection":%q,"repositories":`, len(list), c.token.selection)
	body = appendRepositories(body, paginate(s, c, list))
	return &answer{status: http.StatusOK, body: append(body, '}')}
}

// getRepository shows the few members more that a repository alone has.
func (s *Simulator) getRepository(c *call) *answer {
	r, refusal := s.permitted(c, "metadata", "read")
	if refusal != nil {
		return refusal
	}
	body := slices.Clone(r.json())
	return &answer{status: http.StatusOK, body: append(body[:len(body)-1], `,"network_count":0,"subscribers_count":0}`...)}
}

// getContents shows a file. Folders are not simulated.
func (s *Simulator) getContents(c *call) *answer {
	r, refusal := s.permitted(c, "contents", "read")
	if refusal != nil {
		return refusal
	}
	path, ref := c.r.PathValue("path"), c.r.URL.Query().Get("ref")
	file, err := s.git.file(c.r.Context(), r, ref, path)
	if err != nil {
		return notFound()
	}
	url := s.URL() + "/repos/" + r.fullName() + "/contents/" + path + "?ref=main"
	html := s.base + "/" + r.fullName() + "/blob/main/" + path
	blob := s.URL() + "/repos/" + r.fullName() + "/git/blobs/" + file.sha
	return respond(http.StatusOK, object{
		"type": "file", "encoding": "base64", "size": len(file.content), "name": path[strings.LastIndex(path, "/")+1:],
		"path": path, "sha": file.sha, "content": base64.StdEncoding.EncodeToString(file.content),
		"url": url, "git_url": blob, "html_url": html, "download_url": html,
		"_links": object{"git": blob, "self": url, "html": html},
	})
}

var (
	commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)
	states   = []string{"error", "failure", "pending", "success"}
)

func (s *Simulator) createStatus(c *call) *answer {
	r, refusal := s.permitted(c, "statuses", "write")
	if refusal != nil {
		return refusal
	}
	var asked struct {
		State       string  `json:"state"`
		TargetURL   *string `json:"target_url"`
		Description *string `json:"description"`
		Context     *string `json:"context"`
	}
	if refusal := decode(c.body, &asked); refusal != nil {
		return refusal
	}
	sha := c.r.PathValue("sha")
	switch {
	case !slices.Contains(states, asked.State):
		return refuse(http.StatusUnprocessableEntity, msgInvalidBody+"\n\nFor 'properties/state', it is not one of "+strings.Join(states, ", ")+".")
	case !commitID.MatchString(sha) || s.git.resolve(c.r.Context(), r, sha) == "":
		return refuse(http.StatusUnprocessableEntity, "No commit found for SHA: "+sha)
	}
	context := "default"
	if asked.Context != nil {
		context = *asked.Context
	}
	id, now := s.world.newID(), stamp(s.now())
	return respond(http.StatusCreated, object{
		"id": id, "node_id": nodeID("SC", id), "state": asked.State, "context": context,
		"description": asked.Description, "target_url": asked.TargetURL, "creator": s.bot(c), "avatar_url": nil,
		"url": s.URL() + "/repos/" + r.fullName() + "/statuses/" + sha, "created_at": now, "updated_at": now,
	})
}

func (s *Simulator) createDeployment(c *call) *answer {
	r, refusal := s.permitted(c, "deployments", "write")
	if refusal != nil {
		return refusal
	}
	asked := struct {
		Ref         string `json:"ref"`
		Task        string `json:"task"`
		Environment string `json:"environment"`
		Description string `json:"description"`
		Payload     any    `json:"payload"`
	}{Task: "deploy", Environment: "production", Payload: ""}
	if refusal := decode(c.body, &asked); refusal != nil {
		return refusal
	}
	if asked.Ref == "" {
		return refuse(http.StatusUnprocessableEntity, msgInvalidBody+"\n\n\"ref\" wasn't supplied.")
	}
	sha := s.git.resolve(c.r.Context(), r, asked.Ref)
	if sha == "" {
		return refuse(http.StatusUnprocessableEntity, "No ref found for: "+asked.Ref)
	}
	id, now := s.world.newID(), stamp(s.now())
	url := fmt.Sprintf("%s/repos/%s/deployments/%d", s.URL(), r.fullName(), id)
	return respond(http.StatusCreated, object{
		"id": id, "node_id": nodeID("DE", id), "sha": sha, "ref": asked.Ref, "task": asked.Task, "payload": asked.Payload,
		"environment": asked.Environment, "original_environment": asked.Environment, "description": asked.Description,
		"creator": s.bot(c), "url": url, "statuses_url": url + "/statuses", "repository_url": s.URL() + "/repos/" + r.fullName(),
		"transient_environment": false, "production_environment": asked.Environment == "production",
		"created_at": now, "updated_at": now,
	})
}

// bot is who creates things with the token.
func (s *Simulator) bot(c *call) object {
	return s.botObject(s.world.appByID(c.token.installation.AppID))
}
