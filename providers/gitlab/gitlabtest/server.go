// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlabtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const apiPath = "/api/v4"

// call is one authenticated request.
type call struct {
	*Instance
	r *http.Request
	// token is what the request authenticates with, by its owner.
	token *accessToken
	by    *user
	// params are the body's.
	params map[string]any
}

// answer is a status with a body; a nil body is none at all.
type answer struct {
	status int
	body   any
	header http.Header
}

func message(status int, format string, args ...any) answer {
	return answer{status: status, body: map[string]any{"message": fmt.Sprintf(format, args...)}}
}

func badRequest(reason string) answer {
	return message(http.StatusBadRequest, "400 Bad request - %s", reason)
}

func notFound(what string) answer { return message(http.StatusNotFound, "404 %s Not Found", what) }

var (
	unauthorized = message(http.StatusUnauthorized, "401 Unauthorized")
	forbidden    = message(http.StatusForbidden, "403 Forbidden")
)

func invalidToken(description string) answer {
	return answer{status: http.StatusUnauthorized, body: map[string]any{"error": "invalid_token", "error_description": description}}
}

// routes is the part of GitLab's API that there is. The scopes of a route are
// those of which a token needs one; none means any token.
func (i *Instance) routes() *http.ServeMux {
	mux := http.NewServeMux()
	read, write := []string{"api", "read_api"}, []string{"api"}
	rotate := []string{"api", "self_rotate"}
	for _, route := range []struct {
		pattern string
		scopes  []string
		do      func(call) answer
	}{
		{"GET /personal_access_tokens", read, call.listPersonal},
		{"GET /personal_access_tokens/self", nil, call.showSelf},
		{"GET /personal_access_tokens/{token}", read, call.showPersonal},
		{"POST /personal_access_tokens/self/rotate", rotate, call.rotateSelf},
		{"POST /personal_access_tokens/{token}/rotate", write, call.rotatePersonal},
		{"GET /users/{user}", read, call.showUser},
		{"GET /projects", read, call.listProjects},
		{"GET /projects/{project}", read, call.showProject},
		{"GET /projects/{project}/deploy_tokens", read, call.listDeploy},
		{"POST /projects/{project}/deploy_tokens", write, call.createDeploy},
		{"DELETE /projects/{project}/deploy_tokens/{token}", write, call.deleteDeploy},
		{"GET /projects/{project}/access_tokens", read, call.listProject},
		{"POST /projects/{project}/access_tokens", write, call.createProject},
		{"GET /projects/{project}/access_tokens/{token}", read, call.showProjectToken},
		{"DELETE /projects/{project}/access_tokens/{token}", write, call.deleteProject},
	} {
		method, path, _ := strings.Cut(route.pattern, " ")
		mux.HandleFunc(method+" "+apiPath+path, func(w http.ResponseWriter, r *http.Request) {
			i.mu.Lock()
			defer i.mu.Unlock()
			i.serve(r, route.scopes, route.do).write(w)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answer{status: http.StatusNotFound, body: map[string]any{"error": "404 Not Found"}}.write(w)
	})
	return mux
}

// ServeHTTP answers as GitLab does, or as the first fitting Fault says.
func (i *Instance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if i.isGit(r) {
		i.serveGit(w, r)
		return
	}
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	r.Body = io.NopCloser(bytes.NewReader(body))
	i.mu.Lock()
	i.requests = append(i.requests, Request{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Body: string(body),
	})
	i.mu.Unlock()
	if f := i.faultFor(r); f != nil {
		i.meet(f, w, r)
		return
	}
	i.mux.ServeHTTP(w, r)
}

// serve authenticates a request and carries it out. The lock is held.
func (i *Instance) serve(r *http.Request, scopes []string, do func(call) answer) answer {
	c := call{Instance: i, r: r, params: map[string]any{}}
	if refused := c.authenticate(scopes); refused != nil {
		return *refused
	}
	if refused := c.readParams(); refused != nil {
		return *refused
	}
	return do(c)
}

func (c *call) authenticate(scopes []string) *answer {
	t := c.accessBySecret(c.r.Header.Get("PRIVATE-TOKEN"))
	var refused answer
	switch {
	case t == nil || c.users[t.user] == nil:
		refused = unauthorized
	case t.revoked:
		if strings.HasSuffix(c.r.URL.Path, "/rotate") {
			c.revokeFamily(t.id) // a replaced token that rotates again is taken for stolen
		}
		refused = invalidToken("Token was revoked. You have to re-authorize from the user.")
	case c.expired(t):
		refused = invalidToken("Token is expired. You can either do re-authorization or token refresh.")
	case scopes != nil && !overlap(scopes, t.scopes):
		refused = answer{status: http.StatusForbidden, body: map[string]any{
			"error": "insufficient_scope", "scope": strings.Join(scopes, " "),
			"error_description": "The request requires higher privileges than provided by the access token.",
		}}
	default:
		c.token, c.by = t, c.users[t.user]
		if now := c.now(); now.Sub(t.lastUsed) >= 10*time.Minute {
			t.lastUsed = now
		}
		return nil
	}
	return &refused
}

func (c *call) readParams() *answer {
	body, _ := io.ReadAll(c.r.Body)
	if len(body) == 0 {
		return nil
	}
	if kind := c.r.Header.Get("Content-Type"); kind != "application/json" {
		return &answer{status: http.StatusUnsupportedMediaType, body: map[string]any{
			"error": "The provided content-type '" + kind + "' is not supported."}}
	}
	if json.Unmarshal(body, &c.params) != nil {
		bad := answer{status: http.StatusBadRequest, body: map[string]any{"error": "Problem processing JSON payload"}}
		return &bad
	}
	return nil
}

func (a answer) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body)
}

// query is a positive number of the query.
func (c call) query(name string, otherwise int) int {
	n, err := strconv.Atoi(c.r.URL.Query().Get(name))
	if err != nil || n < 1 {
		return otherwise
	}
	return n
}

// page gives one page of a list with GitLab's headers.
func page[T any](c call, all []T) answer {
	number := c.query("page", 1)
	size := min(100, c.query("per_page", 20))
	pages := (len(all) + size - 1) / size
	begin := min(len(all), (number-1)*size)
	header := http.Header{
		"X-Page": {strconv.Itoa(number)}, "X-Per-Page": {strconv.Itoa(size)},
		"X-Total": {strconv.Itoa(len(all))}, "X-Total-Pages": {strconv.Itoa(pages)},
		"X-Next-Page": {""}, "X-Prev-Page": {""},
	}
	if number < pages {
		header.Set("X-Next-Page", strconv.Itoa(number+1))
	}
	if number > 1 {
		header.Set("X-Prev-Page", strconv.Itoa(number-1))
	}
	some := append([]T{}, all[begin:min(len(all), begin+size)]...)
	return answer{status: http.StatusOK, body: some, header: header}
}
