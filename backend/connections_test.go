// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return key
}

func pkcs8(t *testing.T, key *rsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestAConfigIsProvenWhenItIsWritten(t *testing.T) {
	m := newMount(t)
	stranger := pkcs8(t, newKey(t))
	for name, c := range map[string]struct {
		changes map[string]any
		status  int
		says    string
	}{
		"client ID":                  {map[string]any{"app_id": m.app.ClientID}, 204, ""},
		"PKCS#8":                     {map[string]any{"private_key": pkcs8(t, m.app.Keys[0])}, 204, ""},
		"a last slash":               {map[string]any{"base_url": m.github.URL() + "/"}, 204, ""},
		"the right installation":     {map[string]any{"installation_id": itoa(m.inst.ID)}, 204, ""},
		"another's key":              {map[string]any{"private_key": stranger}, 400, "private_key"},
		"no such App":                {map[string]any{"app_id": "999999"}, 400, "knows no App with app_id 999999"},
		"no such installation":       {map[string]any{"installation_id": "999999"}, 400, "no installation 999999"},
		"no key at all":              {map[string]any{"private_key": nil}, 400, "private_key: is required"},
		"a key that is none":         {map[string]any{"private_key": "hunter2"}, 400, "private_key: is not PEM"},
		"http to elsewhere":          {map[string]any{"base_url": "http://github.example.com"}, 400, "base_url: must be https"},
		"a password in the URL":      {map[string]any{"base_url": "https://me:hunter2@github.example.com"}, 400, "must not hold a user or a password"},
		"nobody answers":             {map[string]any{"base_url": "http://127.0.0.1:1"}, 503, "verify=false skips this"},
		"a platform that is none":    {map[string]any{"provider": "svn"}, 400, "provider: must be one of github, gitlab, gitea"},
		"another platform's":         {map[string]any{"username": "bot"}, 400, `username: is not a field of provider "github"`},
		"a misspelt field":           {map[string]any{"organisation": "acme"}, 400, "organisation: is not a field of this path"},
		"no time at all":             {map[string]any{"request_timeout": 0}, 400, "request_timeout"},
		"no turn at all":             {map[string]any{"max_concurrency": 0}, 400, "max_concurrency"},
		"a certificate that is none": {map[string]any{"ca_cert": "trust me"}, 400, "ca_cert"},
	} {
		t.Run(name, func(t *testing.T) {
			got := m.write("config/fresh", m.config(c.changes))
			require.Equal(t, c.status, got.status, got.err)
			require.Contains(t, got.err, c.says)
			require.NotContains(t, got.err, "hunter2", "what may be a secret is not repeated")
			if c.status >= 400 {
				require.Equal(t, http.StatusNotFound, m.read("config/fresh").status, "nothing was written")
			}
			require.Empty(t, m.do(logical.DeleteOperation, "config/fresh", nil).err)
		})
	}
	t.Run("unless the writer says so", func(t *testing.T) {
		m.must("config/fresh", m.config(map[string]any{"private_key": stranger, "verify": false}))
	})
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func TestAClockThatIsOffIsSaid(t *testing.T) {
	m := newMount(t)
	theirs := newClock()
	theirs.advance(2 * time.Hour)
	github := githubtest.Start(t, githubtest.Options{Now: theirs.now})
	app, _ := github.Install("acme", appPermissions(), "web")
	got := m.write("config/fresh", m.config(map[string]any{"base_url": github.URL(), "app_id": itoa(app.ID), "private_key": app.PrivateKeyPEM()}))
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.err, "clock is 2h0m0s behind GitHub's")
}

func TestASecretIsKeptAndNeverShown(t *testing.T) {
	m := newMount(t)
	before := m.read("config/github").data
	require.NotContains(t, before, "private_key")
	require.Len(t, before["private_key_sha256"], 64)
	require.Equal(t, "2030-05-06T07:08:09Z", before["private_key_set_at"])

	m.clock.advance(time.Hour)
	m.must("config/github", m.config(map[string]any{"private_key": nil, "request_timeout": 5}))
	after := m.read("config/github").data
	require.Equal(t, before["private_key_sha256"], after["private_key_sha256"])
	require.Equal(t, before["private_key_set_at"], after["private_key_set_at"])
	require.EqualValues(t, 5, after["request_timeout"])

	m.must("config/github", m.config(nil))
	require.Equal(t, "2030-05-06T08:08:09Z", m.read("config/github").data["private_key_set_at"])
	m.issue("build-dev")
}

func TestAStoredSecretIsNeverSentToAStranger(t *testing.T) {
	m := newMount(t)
	var asked atomic.Int32
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(stranger.Close)
	for name, changes := range map[string]map[string]any{
		"base_url":              {"base_url": stranger.URL, "private_key": nil},
		"and with verify=false": {"base_url": stranger.URL, "private_key": nil, "verify": false},
		"ca_cert":               {"ca_cert": certificate(t), "private_key": nil, "verify": false},
	} {
		t.Run(name, func(t *testing.T) {
			got := m.write("config/github", m.config(changes))
			require.Equal(t, http.StatusBadRequest, got.status)
			require.Contains(t, got.err, "private_key: must come in the same write")
			patch := map[string]any{}
			for _, field := range []string{"base_url", "ca_cert", "verify"} {
				if value, there := changes[field]; there {
					patch[field] = value
				}
			}
			require.Equal(t, http.StatusBadRequest, m.do(logical.PatchOperation, "config/github", patch).status)
		})
	}
	require.Zero(t, asked.Load())
	m.issue("build-dev")
	t.Run("another spelling of the same address is no change", func(t *testing.T) {
		m.must("config/github", m.config(map[string]any{"base_url": m.github.URL() + "/", "private_key": nil}))
	})
	t.Run("the provider cannot change", func(t *testing.T) {
		got := m.write("config/github", map[string]any{"provider": "gitlab", "token": "x", "base_url": stranger.URL})
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Contains(t, got.err, "provider: cannot change")
	})
}

func TestARedirectNeverCarriesACredential(t *testing.T) {
	m := newMount(t)
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		redirecting := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
		t.Cleanup(redirecting.Close)
		got := m.write("config/moved", m.config(map[string]any{"base_url": redirecting.URL}))
		require.Equal(t, http.StatusBadGateway, got.status)
		require.Contains(t, got.err, "no redirect to another host is followed")
		m.must("config/moved", m.config(map[string]any{"base_url": redirecting.URL, "verify": false}))
		m.role("moved", map[string]any{"config": "moved"})
		require.Equal(t, http.StatusBadGateway, m.read("creds/moved").status)
	}
	require.Zero(t, asked.Load())
}

func TestANewKeyTakesEffectAtOnce(t *testing.T) {
	m := newMount(t)
	m.issue("build-dev")
	goOn := make(chan struct{})
	m.github.Inject(githubtest.Fault{Match: "POST /app/installations/*/access_tokens", Times: 1, After: true, Hang: goOn})
	inFlight := make(chan answer)
	go func() { inFlight <- m.read("creds/build-dev") }()
	require.Eventually(t, func() bool { return m.github.Counts()[mintEndpoint] == 2 }, 10*time.Second, time.Millisecond)

	fresh := newKey(t)
	m.github.SetKeys(m.app.ID, fresh) // the old key is worth nothing any more
	m.must("config/github", m.config(map[string]any{"private_key": pkcs8(t, fresh)}))
	m.issue("build-dev")
	select {
	case <-inFlight:
		t.Fatal("the call in flight should still be in flight")
	default:
	}
	close(goOn)
	got := <-inFlight
	require.Equal(t, http.StatusOK, got.status, "and comes to its own good end")
	require.Empty(t, m.revoke(got).err)
}

func TestTokensAreRevokedWhereTheyWereMade(t *testing.T) {
	m := newMount(t)
	old := m.issue("build-dev")
	next := githubtest.Start(t, githubtest.Options{Now: m.clock.now})
	app, _ := next.Install("acme", appPermissions(), "web")
	m.must("config/github", m.config(map[string]any{"base_url": next.URL(), "app_id": itoa(app.ID), "private_key": app.PrivateKeyPEM()}))
	fresh := m.issue("build-dev")
	require.Equal(t, next.URL(), fresh.data["base_url"])

	require.Empty(t, m.revoke(old).err)
	require.Equal(t, githubtest.Revoked, m.state(old))
	require.Empty(t, m.revoke(fresh).err)
	require.Zero(t, next.Live())

	require.NoError(t, m.engine.Connections.TidyRetired(t.Context()))
	require.Len(t, m.storage.keys("retired/"), 1, "a mint may still be in flight")
	m.clock.advance(time.Hour)
	require.NoError(t, m.engine.Connections.TidyRetired(t.Context()))
	require.Empty(t, m.storage.keys("retired/"), "the old credential goes when nobody needs it")
}

func TestTheOldCredentialStaysWhileALiveTokenNeedsIt(t *testing.T) {
	m := newMount(t)
	m.role("long", map[string]any{"ttl": "1h"})
	m.issue("long")
	for _, port := range []string{"1", "2"} {
		m.must("config/github", m.config(map[string]any{"base_url": "http://127.0.0.1:" + port, "verify": false}))
	}
	m.clock.advance(50 * time.Minute)
	require.NoError(t, m.engine.Connections.TidyRetired(t.Context()))
	require.Len(t, m.storage.keys("retired/"), 1, "of the two that were left only one is needed")
}

func TestAConfigInUseIsNotDeleted(t *testing.T) {
	m := newMount(t)
	got := m.do(logical.DeleteOperation, "config/github", nil)
	require.Equal(t, http.StatusConflict, got.status)
	require.Contains(t, got.err, "build-dev")

	credential := m.issue("build-dev")
	require.Empty(t, m.do(logical.DeleteOperation, "roles/build-dev", nil).err)
	got = m.do(logical.DeleteOperation, "config/github", nil)
	require.Equal(t, http.StatusConflict, got.status)
	require.Contains(t, got.err, "1 live token")

	require.Empty(t, m.revoke(credential).err)
	require.Empty(t, m.do(logical.DeleteOperation, "config/github", nil).err)
	require.Empty(t, m.do(logical.DeleteOperation, "config/github", nil).err)
	require.Empty(t, m.storage.keys("config/"))
}

func TestAConfigSaysWhichRolesMayUseIt(t *testing.T) {
	m := newMount(t)
	m.patch("config/github", map[string]any{"allowed_roles": []string{"build-*", "release"}})
	m.issue("build-dev")
	m.role("build-web", nil)
	m.role("release", nil)
	for _, name := range []string{"prebuild-dev", "release-2", "deploy"} {
		got := m.write("roles/"+name, roleData(nil))
		require.Equal(t, http.StatusBadRequest, got.status, name)
		require.Contains(t, got.err, "allowed_roles")
	}
	m.patch("config/github", map[string]any{"allowed_roles": []string{}})
	require.Equal(t, http.StatusForbidden, m.read("creds/build-dev").status, "an empty list allows none")
}
