// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package scan

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnotherHostDoesNotGetTheToken(t *testing.T) {
	var headers []http.Header
	storage := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		headers = append(headers, r.Header)
	}))
	t.Cleanup(storage.Close)
	elsewhere := strings.Replace(storage.URL, "127.0.0.1", "localhost", 1)
	gitlab := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "Bearer reads-logs", r.Header.Get("Authorization"))
		switch {
		case strings.HasSuffix(r.URL.Path, "/trace"):
			http.Redirect(w, r, elsewhere+"/trace", http.StatusFound)
		case r.URL.Query().Get("page") == "1":
			_, _ = w.Write([]byte(`[{"id": 12, "name": "clone"}]`))
		default:
			_, _ = w.Write([]byte(`[]`))
		}
	}))
	t.Cleanup(gitlab.Close)
	scanner, err := New()
	require.NoError(t, err)
	variables := map[string]string{"GITLAB_CI": "true", "CI_API_V4_URL": gitlab.URL, "CI_PROJECT_ID": "7", "CI_PIPELINE_ID": "99", "GITLAB_TOKEN": "reads-logs"}
	require.NoError(t, scanner.Logs(t.Context(), Run{Getenv: func(name string) string { return variables[name] }}))
	require.Len(t, headers, 1)
	for name, values := range headers[0] {
		require.NotContains(t, strings.Join(values, " "), "reads-logs", name)
	}
}
