// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryOperationIsDescribed(t *testing.T) {
	doc, err := document()
	require.NoError(t, err, "the extract is valid")
	described := 0
	for _, item := range doc.Paths.Map() {
		described += len(item.Operations())
	}
	require.Len(t, Operations(), described)
	for _, operation := range Operations() {
		method, path := split(operation)
		require.NotNil(t, doc.Paths.Value(path), operation)
		require.NotNil(t, doc.Paths.Value(path).GetOperation(method), operation)
	}
}

// What the description lets pass, the simulator has to refuse itself.
func TestWhatTheDescriptionDoesNotSay(t *testing.T) {
	doc, err := document()
	require.NoError(t, err)
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			require.Nil(t, operation.Responses.Status(http.StatusTooManyRequests), "%s %s declares 429", method, path)
		}
	}
	s := start(t, Options{Validate: true})
	r := s.asApp("POST", s.mintPath(), want("web", "no_such_permission", "sometimes"))
	require.Equal(t, http.StatusUnprocessableEntity, r.status)
	require.Empty(t, s.Violations(), "an unknown permission is accepted")
}

func TestViolations(t *testing.T) {
	s := start(t, Options{Validate: true})
	s.asApp("GET", "/app/installations/seven", nil)
	s.asApp("POST", s.mintPath(), `{"permissions": {"contents": "owner"}}`)
	violations := s.Violations()
	require.Len(t, violations, 2)
	require.Contains(t, violations[0], "GET /app/installations/{installation_id}: request: parameter \"installation_id\" in path")
	require.Contains(t, violations[1], "/permissions/contents: ")
	require.Empty(t, s.Violations(), "collected")

	c := &call{r: newRequest(t), route: &route{endpoint: "DELETE /installation/token"}, header: http.Header{}}
	s.describe.check(c, &answer{status: http.StatusNoContent})
	require.Empty(t, s.Violations())
	c.route.endpoint = "GET /installation/repositories"
	c.header.Set("Content-Type", contentType)
	s.describe.check(c, &answer{status: http.StatusOK, body: []byte(`{"total_count": 1}`)})
	require.Len(t, s.Violations(), 1, "an answer without its repositories")
	c.route.endpoint = "GET /nowhere"
	s.describe.check(c, &answer{status: http.StatusOK})
	require.Equal(t, []string{"GET /nowhere: not described"}, s.Violations())
}

func TestWithoutValidation(t *testing.T) {
	s := start(t, Options{})
	s.asApp("GET", "/app/installations/seven", nil)
	require.Empty(t, s.Violations())
}

func newRequest(t *testing.T) *http.Request {
	t.Helper()
	r, err := http.NewRequest("GET", "/", nil)
	require.NoError(t, err)
	return r
}
