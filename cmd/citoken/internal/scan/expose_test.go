// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package scan

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
)

// engine answers each token with its own status, and all others that they are ours.
func engine(t *testing.T, statuses map[string]int) (client *api.Client, shown *[]string) {
	t.Helper()
	shown = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Token, Where string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		*shown = append(*shown, body.Where)
		if status := statuses[body.Token]; status != 0 {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"errors": ["the platform does not answer"]}`))
			return
		}
		_, _ = w.Write([]byte(`{"data": {"ours": true, "was_live": true, "status": "revoked"}}`))
	}))
	t.Cleanup(server.Close)
	config := api.DefaultConfig()
	config.Address, config.MaxRetries = server.URL, 0
	client, err := api.NewClient(config)
	require.NoError(t, err)
	return client, shown
}

func found(files ...string) []Finding {
	list := make([]Finding, len(files))
	for i, file := range files {
		list[i] = Finding{File: file, Line: 1, Description: "Token", Platform: true, secret: "ghs_" + file + strings.Repeat("x", 36-len(file))}
	}
	return list
}

func TestAFailedReportDoesNotStopTheOthers(t *testing.T) {
	findings := found("a", "b", "c", "d")
	findings[2].secret = findings[0].secret
	client, shown := engine(t, map[string]int{findings[0].secret: http.StatusServiceUnavailable, findings[1].secret: http.StatusTooManyRequests})
	err := Expose(t.Context(), client, "ci", "acme/web: ", findings)
	require.ErrorContains(t, err, "report what was found at a:1: Vault answers 503: the platform does not answer")
	require.ErrorContains(t, err, "b:1")
	require.ErrorContains(t, err, "c:1")
	require.NotContains(t, err.Error(), "d:1")
	require.Equal(t, []string{"acme/web: a:1", "acme/web: b:1", "acme/web: d:1"}, *shown, "each token once")
	require.True(t, findings[3].Verdict.Ours)

	var text, list bytes.Buffer
	require.NoError(t, Write(&text, "text", findings))
	require.Equal(t, 3, strings.Count(text.String(), "reported, but the engine could not say what became of it"))
	require.NoError(t, Write(&list, "json", findings))
	require.Equal(t, 4, strings.Count(list.String(), `"reported": true`))
}

func TestWhoMayNotReportIsToldOnce(t *testing.T) {
	findings := found("a", "b")
	client, shown := engine(t, map[string]int{findings[0].secret: http.StatusForbidden})
	require.ErrorContains(t, Expose(t.Context(), client, "ci", "", findings), "a:1: Vault answers 403")
	require.Len(t, *shown, 1)
	for _, f := range findings {
		require.Contains(t, f.tell(), "nobody was asked")
	}
}
