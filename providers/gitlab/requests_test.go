// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestRequests pins what is sent: each golden file is one operation as GitLab
// sees it.
func TestRequests(t *testing.T) {
	ctx := t.Context()
	for name, run := range map[string]func(*testing.T, *world, *connection){
		"mint-deploy": func(t *testing.T, _ *world, c *connection) {
			mint(t, c, "repository=read", "registry=write", "packages=read")
		},
		"mint-project": func(t *testing.T, _ *world, c *connection) {
			mint(t, c, "repository=write", "registry=read")
		},
		"mint-api": func(t *testing.T, _ *world, c *connection) { mint(t, c, "api=write", "packages=write") },
		"mint-cached": func(t *testing.T, w *world, c *connection) {
			g := grant(t, "registry=read")
			_, err := c.Mint(ctx, g)
			require.NoError(t, err)
			w.Forget()
			g.Account, g.Repositories = "ACME", []string{"Web"}
			_, err = c.Mint(ctx, g)
			require.NoError(t, err)
		},
		"revoke-deploy": func(t *testing.T, w *world, c *connection) {
			_, handle := mint(t, c, "repository=read")
			w.Forget()
			require.NoError(t, c.Revoke(ctx, handle))
		},
		"revoke-project": func(t *testing.T, w *world, c *connection) {
			_, handle := mint(t, c, "repository=write")
			w.Forget()
			require.NoError(t, c.Revoke(ctx, handle))
		},
		"revoke-api": func(t *testing.T, w *world, c *connection) {
			_, handle := mint(t, c, "api=write")
			w.Forget()
			require.NoError(t, c.Revoke(ctx, handle))
		},
		"find": func(t *testing.T, _ *world, c *connection) {
			for _, place := range []string{"acme/tools/lint", "3"} {
				_, err := c.Find(ctx, "ci", place)
				require.NoError(t, err)
			}
		},
		"places": func(t *testing.T, _ *world, c *connection) {
			places, err := c.Places(ctx, "ci")
			require.NoError(t, err)
			require.Len(t, places, 2)
		},
		"last-used": func(t *testing.T, w *world, c *connection) {
			_, handle := mint(t, c, "api=read")
			w.Forget()
			_, err := c.LastUsed(ctx, handle)
			require.NoError(t, err)
		},
		"verify": func(t *testing.T, _ *world, c *connection) { require.NoError(t, c.Verify(ctx)) },
		"rotate-alone": func(t *testing.T, _ *world, c *connection) {
			_, err := c.Rotate(ctx, nil)
			require.NoError(t, err)
		},
		"rotate-twin": func(t *testing.T, w *world, c *connection) {
			w.AddPersonalToken(w.user, "vault", []string{"api"}, start.AddDate(0, 0, 30))
			_, err := c.Rotate(ctx, nil)
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			run(t, w, w.connect(t, w.token))
			var sent []string
			for _, r := range w.Requests() {
				sent = append(sent, r.String()+"\n")
			}
			golden(t, name, strings.Join(sent, "\n"))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// TestNeverTheDefaultLevel: GitLab would make a Maintainer of each token that does
// not say what it needs.
func TestNeverTheDefaultLevel(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.token)
	for _, permission := range []string{"repository=write", "api=read", "api=write", "ai_features=write", "k8s_proxy=write"} {
		w.Forget()
		mint(t, c, permission)
		sent := w.Requests()
		require.Contains(t, sent[len(sent)-1].Body, `"access_level":`)
	}
	for _, token := range w.Tokens() {
		require.Less(t, token.AccessLevel, gitlabtest.Maintainer, token.Scopes)
	}
}

// TestBaseURL: whatever is written, one address is meant.
func TestBaseURL(t *testing.T) {
	w := newWorld(t)
	for written, want := range map[string]string{
		"https://gitlab.com":                   "https://gitlab.com",
		"https://GitLab.com/":                  "https://gitlab.com",
		"https://gitlab.com/api/v4":            "https://gitlab.com",
		"https://gitlab.com/api/v4/":           "https://gitlab.com",
		"https://example.com/gitlab":           "https://example.com/gitlab",
		"https://example.com/GitLab/api/v4/":   "https://example.com/GitLab",
		"https://example.com:8443/api/v4":      "https://example.com:8443",
		"https://example.com/my/api/v4/gitlab": "https://example.com/my/api/v4/gitlab",
	} {
		s := w.settings(t, w.token)
		s.BaseURL = written
		c, err := Platform().Connect(s)
		require.NoError(t, err, written)
		require.Equal(t, want, c.BaseURL(), written)
	}
}

// TestSubPath: an installation below a folder is reached there.
func TestSubPath(t *testing.T) {
	w := newWorld(t)
	inner := w.server.Config.Handler
	w.server.Config.Handler = stripPrefix("/gitlab", inner)
	s := w.settings(t, w.token)
	s.BaseURL += "/gitlab/api/v4/"
	c, err := Platform().Connect(s)
	require.NoError(t, err)
	require.NoError(t, c.Verify(t.Context()))
	token, err := c.Mint(t.Context(), grant(t, "repository=read"))
	require.NoError(t, err)
	require.True(t, w.IsLive(token.Secret))
}

// TestSettings: what cannot be a token is told from what can, and is not repeated.
func TestSettings(t *testing.T) {
	w := newWorld(t)
	for _, token := range []string{"", "glpat abc", "glpat-abc\ndef", "glpät"} {
		_, err := connect(w.settings(t, token))
		require.ErrorContains(t, err, "token: ")
		if token != "" {
			require.NotContains(t, err.Error(), token)
		}
	}
	_, err := connect(w.settings(t, w.token+"\n"))
	require.NoError(t, err, "a file ends with a line")
	require.Equal(t, []string{"token"}, names(Platform().Fields))
}

func names(fields []providers.Field) []string {
	var list []string
	for _, f := range fields {
		list = append(list, f.Name)
	}
	return list
}
