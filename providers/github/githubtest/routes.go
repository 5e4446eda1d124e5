// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"net/http"
	"strings"
)

// auth is how a route is authenticated.
type auth int

const (
	byNobody auth = iota
	byApp
	byToken
)

// route is one operation of GitHub's REST description.
type route struct {
	// endpoint is the method and the path as the description writes it.
	endpoint string
	auth     auth
	handle   func(*call) *answer
	// params are the names in the path.
	params []string
}

// routes serves every operation, and GitHub's 404 for the rest.
func (s *Simulator) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range s.table() {
		for part := range strings.SplitSeq(r.endpoint, "/") {
			if name, ok := strings.CutPrefix(part, "{"); ok {
				r.params = append(r.params, strings.TrimSuffix(name, "}"))
			}
		}
		// The description does not say that a file's path may have slashes.
		pattern := strings.Replace(r.endpoint, "{path}", "{path...}", 1)
		mux.HandleFunc(pattern, func(w http.ResponseWriter, req *http.Request) { s.serveAPI(w, req, &r) })
	}
	nowhere := route{endpoint: "unknown", handle: func(*call) *answer { return notFound() }}
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) { s.serveAPI(w, req, &nowhere) })
	return mux
}

func (s *Simulator) table() []route {
	return []route{
		{endpoint: "GET /app", auth: byApp, handle: s.getApp},
		{endpoint: "GET /app/installations", auth: byApp, handle: s.listInstallations},
		{endpoint: "GET /app/installations/{installation_id}", auth: byApp, handle: s.getInstallation},
		{endpoint: "GET /repos/{owner}/{repo}/installation", auth: byApp, handle: s.repositoryInstallation},
		{endpoint: "GET /orgs/{org}/installation", auth: byApp, handle: s.organizationInstallation},
		{endpoint: "GET /users/{username}/installation", auth: byApp, handle: s.userInstallation},
		{endpoint: "PUT /app/installations/{installation_id}/suspended", auth: byApp, handle: s.suspend},
		{endpoint: "DELETE /app/installations/{installation_id}/suspended", auth: byApp, handle: s.unsuspend},
		{endpoint: "POST /app/installations/{installation_id}/access_tokens", auth: byApp, handle: s.mint},
		{endpoint: "DELETE /installation/token", auth: byToken, handle: s.revoke},
		{endpoint: "GET /installation/repositories", auth: byToken, handle: s.listRepositories},
		{endpoint: "GET /repos/{owner}/{repo}", auth: byToken, handle: s.getRepository},
		{endpoint: "GET /repos/{owner}/{repo}/contents/{path}", auth: byToken, handle: s.getContents},
		{endpoint: "POST /repos/{owner}/{repo}/statuses/{sha}", auth: byToken, handle: s.createStatus},
		{endpoint: "POST /repos/{owner}/{repo}/deployments", auth: byToken, handle: s.createDeployment},
	}
}

// Operations are the operations simulated, as "METHOD PATH" in the spelling of
// GitHub's REST description.
func Operations() []string {
	var list []string
	for _, r := range (&Simulator{}).table() {
		list = append(list, r.endpoint)
	}
	return list
}
