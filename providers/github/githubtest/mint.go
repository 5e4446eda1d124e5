// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"
)

const (
	maxRepositories = 500

	msgSuspended   = "This installation has been suspended"
	msgRepository  = "There is at least one repository that does not exist or is not accessible to the parent installation."
	msgPermission  = "The permissions requested are not granted to this installation."
	msgTooMany     = "At most 500 repositories can be listed."
	msgInvalidBody = "Invalid request."
)

// ranks order the levels of a permission; each holds the ones below it.
var ranks = map[string]int{"read": 1, "write": 2, "admin": 3}

// mintRequest is the body of a mint. An absent or empty list means everything.
type mintRequest struct {
	Repositories  []string          `json:"repositories"`
	RepositoryIDs []int64           `json:"repository_ids"`
	Permissions   map[string]string `json:"permissions"`
}

// mint makes a token.
func (s *Simulator) mint(c *call) *answer {
	in := s.installation(c)
	switch {
	case in == nil:
		return notFound()
	case !in.suspendedAt.IsZero():
		return refuse(http.StatusForbidden, msgSuspended)
	}
	var asked mintRequest
	if refusal := decode(c.body, &asked); refusal != nil {
		return refusal
	}
	t, refusal := s.narrow(in, asked)
	if refusal != nil {
		return refusal
	}
	if c.excess != nil {
		s.widen(t, in, c.excess)
	}
	t.createdAt = s.now()
	t.expiresAt = t.createdAt.Add(tokenLife).Truncate(time.Second)
	secret := shortToken()
	if s.options.LongTokens {
		secret = longToken(in.AppID, in.ID, t.expiresAt)
	}
	s.tokens.add(secret, t)
	return &answer{status: http.StatusCreated, body: mintAnswer(secret, t)}
}

// decode reads a JSON body; none at all is an empty request.
func decode(body []byte, into any) *answer {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	err := json.Unmarshal(body, into)
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return refuse(http.StatusUnprocessableEntity, msgInvalidBody+"\n\nFor 'properties/"+wrong.Field+"', "+wrong.Value+" is not of the right type.")
	}
	return refuse(http.StatusBadRequest, "Problems parsing JSON")
}

// narrow makes the token that was asked for out of what the installation has.
func (s *Simulator) narrow(in *installation, asked mintRequest) (*token, *answer) {
	if len(asked.Repositories)+len(asked.RepositoryIDs) > maxRepositories {
		return nil, refuse(http.StatusUnprocessableEntity, msgTooMany)
	}
	t := &token{installation: in, permissions: in.Permissions, selection: in.selection()}
	for _, name := range asked.Repositories {
		if !t.reach(s.world.repository(in, name)) {
			return nil, refuse(http.StatusUnprocessableEntity, msgRepository)
		}
	}
	if len(asked.RepositoryIDs) > 0 {
		byID := map[int64]*repository{}
		for _, r := range s.world.repositories(in) {
			byID[r.id] = r
		}
		for _, id := range asked.RepositoryIDs {
			if !t.reach(byID[id]) {
				return nil, refuse(http.StatusUnprocessableEntity, msgRepository)
			}
		}
	}
	if len(asked.Permissions) > 0 {
		for resource, level := range asked.Permissions {
			if ranks[level] == 0 || ranks[level] > ranks[in.Permissions[resource]] {
				return nil, refuse(http.StatusUnprocessableEntity, msgPermission)
			}
		}
		t.permissions = withMetadata(asked.Permissions)
	}
	if t.repositories != nil {
		t.selection = "selected"
	}
	return t, nil
}

// reach adds a repository to the token, once; false when there is none.
func (t *token) reach(r *repository) bool {
	if r != nil && !slices.Contains(t.repositories, r) {
		t.repositories = append(t.repositories, r)
	}
	return r != nil
}

// widen gives the token more than was asked for.
func (s *Simulator) widen(t *token, in *installation, excess *Excess) {
	t.beyond, t.permissions = true, maps.Clone(t.permissions)
	maps.Copy(t.permissions, excess.Permissions)
	if excess.AllRepositories {
		t.repositories, t.selection = nil, "all"
		return
	}
	for _, name := range excess.Repositories {
		t.reach(s.world.find(in.Account, name))
	}
}

// mintAnswer is written by hand: encoding/json would go through each of the large
// repository objects again.
func mintAnswer(secret string, t *token) []byte {
	b := mustJSON(struct {
		Token       string            `json:"token"`
		ExpiresAt   string            `json:"expires_at"`
		Permissions map[string]string `json:"permissions"`
		Selection   string            `json:"repository_selection"`
	}{secret, stamp(t.expiresAt), t.permissions, t.selection})
	if t.repositories == nil {
		return b
	}
	b = append(b[:len(b)-1], `,"repositories":`...)
	b = appendRepositories(b, t.repositories)
	return append(b, '}')
}

// appendRepositories appends a JSON array of repository objects.
func appendRepositories(b []byte, list []*repository) []byte {
	size := 2
	for _, r := range list {
		size += len(r.json()) + 1
	}
	b = append(slices.Grow(b, size+1), '[')
	for i, r := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, r.json()...)
	}
	return append(b, ']')
}
