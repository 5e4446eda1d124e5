// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUse(t *testing.T) {
	s := start(t, Options{Validate: true})
	head := s.Head("acme", "web", "main")
	require.Len(t, head, 40)
	status := map[string]any{"state": "success", "context": "ci/build", "target_url": "https://ci.example/1"}
	deployment := map[string]any{"ref": "main", "environment": "staging"}

	for name, test := range map[string]struct {
		permissions []string
		request     string
		body        any
		status      int
		message     string
	}{
		"repository":                {[]string{"metadata", "read"}, "GET /repos/acme/web", nil, 200, ""},
		"repository in any case":    {[]string{"metadata", "read"}, "GET /repos/ACME/Web", nil, 200, ""},
		"another repository":        {[]string{"contents", "read"}, "GET /repos/acme/api", nil, 404, msgNotFound},
		"one not selected":          {[]string{"contents", "read"}, "GET /repos/acme/hidden", nil, 404, msgNotFound},
		"one of another account":    {[]string{"contents", "read"}, "GET /repos/other/web", nil, 404, msgNotFound},
		"file":                      {[]string{"contents", "read"}, "GET /repos/acme/web/contents/README.md", nil, 200, ""},
		"file at a ref":             {[]string{"contents", "read"}, "GET /repos/acme/web/contents/README.md?ref=" + head, nil, 200, ""},
		"file at no ref":            {[]string{"contents", "read"}, "GET /repos/acme/web/contents/README.md?ref=none", nil, 404, msgNotFound},
		"no file":                   {[]string{"contents", "read"}, "GET /repos/acme/web/contents/a/b", nil, 404, msgNotFound},
		"file without contents":     {[]string{"statuses", "write"}, "GET /repos/acme/web/contents/README.md", nil, 403, msgForbidden},
		"file elsewhere":            {[]string{"contents", "read"}, "GET /repos/acme/api/contents/README.md", nil, 404, msgNotFound},
		"status":                    {[]string{"statuses", "write"}, "POST /repos/acme/web/statuses/" + head, status, 201, ""},
		"status with read":          {[]string{"statuses", "read"}, "POST /repos/acme/web/statuses/" + head, status, 403, msgForbidden},
		"status without":            {[]string{"contents", "write"}, "POST /repos/acme/web/statuses/" + head, status, 403, msgForbidden},
		"status elsewhere":          {[]string{"statuses", "write"}, "POST /repos/acme/api/statuses/" + head, status, 404, msgNotFound},
		"status of no commit":       {[]string{"statuses", "write"}, "POST /repos/acme/web/statuses/" + strings.Repeat("0", 40), status, 422, "No commit found for SHA: " + strings.Repeat("0", 40)},
		"deployment":                {[]string{"deployments", "write"}, "POST /repos/acme/web/deployments", deployment, 201, ""},
		"deployment with read":      {[]string{"deployments", "read"}, "POST /repos/acme/web/deployments", deployment, 403, msgForbidden},
		"deployment elsewhere":      {[]string{"deployments", "write"}, "POST /repos/acme/api/deployments", deployment, 404, msgNotFound},
		"deployment of no ref":      {[]string{"deployments", "write"}, "POST /repos/acme/web/deployments", map[string]any{"ref": "none"}, 422, "No ref found for: none"},
		"what is not simulated":     {[]string{"contents", "write"}, "GET /repos/acme/web/issues", nil, 404, msgNotFound},
		"a method that is not":      {[]string{"contents", "write"}, "DELETE /repos/acme/web", nil, 404, msgNotFound},
		"with a token as an App":    {[]string{"contents", "write"}, "GET /app", nil, 401, msgUndecodable},
		"a folder outside the tree": {[]string{"contents", "read"}, "GET /repos/acme/web/contents/%2e%2e/HEAD", nil, 404, msgNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			token := s.token(want("web", test.permissions...))
			method, path := split(test.request)
			r := s.asToken(token, method, path, test.body)
			require.Equal(t, test.status, r.status, "%s", r.body)
			require.Equal(t, test.message, r.message())
		})
	}
}

func TestWrongBodies(t *testing.T) {
	s := start(t, Options{Validate: true})
	head, token := s.Head("acme", "web", "main"), s.token(nil)
	for request, body := range map[string]string{
		"POST /repos/acme/web/statuses/" + head: `{"state": "fine"}`,
		"POST /repos/acme/web/deployments":      `{}`,
	} {
		method, path := split(request)
		require.Equal(t, http.StatusUnprocessableEntity, s.asToken(token, method, path, body).status, request)
	}
	require.Len(t, s.Violations(), 2)
}

func TestFileContents(t *testing.T) {
	s := start(t, Options{Validate: true})
	shown := s.asToken(s.token(nil), "GET", "/repos/acme/web/contents/README.md", nil).object(t)
	content, err := base64.StdEncoding.DecodeString(shown["content"].(string))
	require.NoError(t, err)
	require.Equal(t, "# web\n", string(content))
	require.EqualValues(t, len(content), shown["size"])
}

func TestListRepositories(t *testing.T) {
	s := start(t, Options{Validate: true})
	list := func(token string) (names []string, total any) {
		shown := s.asToken(token, "GET", "/installation/repositories?per_page=2", nil).object(t)
		for _, r := range shown["repositories"].([]any) {
			names = append(names, r.(map[string]any)["name"].(string))
		}
		return names, shown["total_count"]
	}
	one, all := s.token(want("api", "contents", "read")), s.token(nil)
	names, total := list(one)
	require.Equal(t, []string{"api"}, names)
	require.EqualValues(t, 1, total)
	s.SelectRepositories(s.installation.ID)
	names, total = list(all)
	require.Equal(t, []string{"web", "api"}, names, "the first page")
	require.EqualValues(t, 3, total)
}

func TestTokensLoseWhatIsTakenAway(t *testing.T) {
	s := start(t, Options{Validate: true})
	all, one := s.token(nil), s.token(want("web", "contents", "write"))
	readable := func(token, name string) int {
		return s.asToken(token, "GET", "/repos/acme/"+name+"/contents/README.md", nil).status
	}
	s.SelectRepositories(s.installation.ID, "api")
	require.Equal(t, http.StatusNotFound, readable(one, "web"))
	require.Equal(t, http.StatusNotFound, readable(all, "web"))
	require.Equal(t, http.StatusOK, readable(all, "api"))
	s.RemoveRepository("acme", "api")
	require.Equal(t, http.StatusNotFound, readable(all, "api"))
	s.SelectRepositories(s.installation.ID)
	require.Equal(t, http.StatusOK, readable(one, "web"))
	require.Equal(t, http.StatusNotFound, readable(one, "hidden"), "nothing is gained")
	s.SetPermissions(s.installation.ID, nil)
	require.Equal(t, http.StatusForbidden, readable(one, "web"))
}

func TestUserAgentIsNeeded(t *testing.T) {
	s := start(t, Options{Validate: true})
	r, err := http.NewRequest("GET", s.URL()+"/app", nil)
	require.NoError(t, err)
	r.Header.Set("User-Agent", "")
	r.Header.Set("Authorization", "Bearer "+s.jwt())
	answer, err := s.client.Do(r)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusForbidden, answer.StatusCode)
}
