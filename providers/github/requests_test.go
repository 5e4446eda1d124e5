// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"bytes"
	"crypto/rsa"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// tape writes down the requests that pass, without what is secret in them.
type tape struct {
	next http.RoundTripper
	mu   sync.Mutex
	text strings.Builder
}

func (p *tape) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	resp, err := p.next.RoundTrip(r)
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(&p.text, "%s %s\n", r.Method, r.URL.RequestURI())
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		value := r.Header.Get(name)
		if scheme, secret, ok := strings.Cut(value, " "); ok && name == "Authorization" {
			value = scheme + " " + kindOfSecret(secret)
		}
		fmt.Fprintf(&p.text, "%s: %s\n", name, value)
	}
	fmt.Fprintf(&p.text, "\n%s", body)
	if err == nil {
		fmt.Fprintf(&p.text, "-> %d\n\n", resp.StatusCode)
	}
	return resp, err
}

func kindOfSecret(secret string) string {
	if strings.HasPrefix(secret, "ghs_") {
		return "<token>"
	}
	if strings.Count(secret, ".") == 2 {
		return "<jwt>"
	}
	return "<unknown>"
}

// TestRequests holds what leaves this provider against testdata/requests.
func TestRequests(t *testing.T) {
	goldenWorld := func(t *testing.T, account githubtest.Installation) *world {
		w := &world{Simulator: githubtest.Start(t, githubtest.Options{Validate: true})}
		if account.Account == "mona" {
			w.AddUser(account.Account)
		}
		w.AddRepositories(account.Account, "web", "api", "hidden")
		w.app = w.AddApp(githubtest.App{ID: 1234, Slug: "ci", Permissions: appPermissions, Keys: []*rsa.PrivateKey{testKey()}})
		account.ID, account.AppID, account.Repositories = 5678, 1234, []string{"web", "api"}
		w.in = w.AddInstallation(account)
		return w
	}
	acme := githubtest.Installation{Account: "acme"}
	mint := func(g providers.Grant, works bool) func(*testing.T, *connection) {
		return func(t *testing.T, c *connection) {
			_, err := c.Mint(t.Context(), g)
			require.Equal(t, works, err == nil, err)
		}
	}
	grant := acmeGrant(t, "contents=read", "statuses=write")
	mona, hidden := grant, grant
	mona.Account = "mona"
	hidden.Repositories = []string{"hidden"}
	cases := map[string]struct {
		on     githubtest.Installation
		values []string
		do     func(t *testing.T, c *connection)
	}{
		"verify": {on: acme, do: func(t *testing.T, c *connection) { require.NoError(t, c.Verify(t.Context())) }},
		"verify-installation": {on: acme, values: []string{fieldInstallation, "5678"},
			do: func(t *testing.T, c *connection) { require.NoError(t, c.Verify(t.Context())) }},
		"mint":                    {on: acme, do: mint(grant, true)},
		"mint-user":               {on: githubtest.Installation{Account: "mona"}, do: mint(mona, true)},
		"mint-installation":       {on: acme, values: []string{fieldInstallation, "5678", fieldOrganization, "acme"}, do: mint(grant, true)},
		"mint-repository-missing": {on: acme, do: mint(hidden, false)},
		"mint-permission-missing": {on: acme, do: mint(acmeGrant(t, "issues=write"), false)},
		"revoke": {on: acme, do: func(t *testing.T, c *connection) {
			token, err := c.Mint(t.Context(), grant)
			require.NoError(t, err)
			require.NoError(t, c.Revoke(t.Context(), providers.Handle{Value: token.Handle, MintedAt: time.Now()}))
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := goldenWorld(t, tc.on).connect(t, nil, tc.values...)
			recorder := &tape{next: c.client.http.Transport}
			c.client.http.Transport = recorder
			tc.do(t, c)
			requireGolden(t, filepath.Join("testdata", "requests", name+".txt"), recorder.text.String())
		})
	}
}

func requireGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}
