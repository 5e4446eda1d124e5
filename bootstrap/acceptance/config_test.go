// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// What operators define: a write replaces, a PATCH merges, a DELETE can be repeated,
// what was written reads back exactly, and a secret goes nowhere but where it was
// written for.
func TestConfig(t *testing.T) {
	j := newMainJob(t)
	t.Run("what was written reads back exactly", j.readsBack)
	t.Run("a write replaces, a PATCH merges, a DELETE can be repeated", j.replaceMergeDelete)
	t.Run("a secret is kept and never shown", j.secretKept)
	t.Run("a stored secret is never sent to a stranger", j.noStranger)
	t.Run("a redirect never carries a credential", j.noRedirect)
	t.Run("a new key takes effect at once", j.newKey)
	t.Run("a token is revoked where it was made", j.retiredAddress)
	t.Run("what is in use is not deleted", j.inUse)
	t.Run("GitHub Enterprise Server, behind an authority of its own", j.enterprise)
	t.Run("info", j.info)
}

// definables are all that operators can define, each with every field of it.
func (j *mainJob) definables() map[string]map[string]any {
	return map[string]map[string]any{
		"stages/nightly": {"description": "at night", "github": []any{"contents=write", "actions=read"}, "gitlab": []any{"repository=read"}, "gitea": []any{}},
		"environments/staging": {
			"description": "rehearsal", "ttl": 60.0, "max_ttl": 120.0, "required_approvals": 1.0, "destructive_approvals": 0.0,
			"require_identity": false, "bound_claims": []any{}, "allowed_stages": []any{"deploy", "nightly"}, "allowed_roles": []any{"night-*", "deploy-*"}, "production": false,
		},
		"roles/night-watch": {
			"config": "github", "stage": "nightly", "environment": "staging", "owner": "team-web", "purpose": "watch the night",
			"repositories": []any{"web", "acme/api", "svc-*"}, "permissions": []any{"contents=write", "actions=read"}, "ttl": 30.0, "max_ttl": 90.0,
			"issuer": "", "bound_claims": []any{}, "required_approvals": 2.0, "single_use": false, "valid_from": "2026-01-01T00:00:00Z",
			"valid_until": "2099-01-01T00:00:00Z", "max_active": 7.0, "bound_cidrs": []any{"127.0.0.0/8", "::1"}, "disabled": false,
		},
		"issuers/ci": {
			"preset": "github-actions", "discovery_url": "", "jwks_url": "", "bound_issuer": "", "public_keys": []any{},
			"audiences": []any{"vault", "other"}, "ca_cert": "", "config": "github", "verify": false,
		},
		"config/gitlab": {"provider": "gitlab", "base_url": "https://gitlab.example.com/", "token": "glpat-acceptance-00000", "verify": false, "request_timeout": 3.0, "max_concurrency": 8.0, "allowed_roles": []any{"b", "a-*"}},
		"config/gitea":  {"provider": "gitea", "base_url": "https://gitea.example.com/git", "username": "bot", "password": "password-acceptance-0", "verify": false, "ca_cert": ""},
		"config/hub":    j.config(map[string]any{"request_timeout": 7.0, "max_concurrency": 9.0, "allowed_roles": []any{"*"}, "installation_id": fmt.Sprint(j.inst.ID)}),
		"settings":      {"closed_retention": 172800.0, "event_retention": 259200.0},
	}
}

// definitionOrder is one in which they can be written; roles refer to the others.
var definitionOrder = []string{
	"stages/nightly", "environments/staging", "roles/night-watch", "issuers/ci", "config/gitlab", "config/gitea", "config/hub", "settings",
}

func (j *mainJob) readsBack(t *testing.T) {
	root := j.For(t).Root()
	j.keep("glpat-acceptance-00000")
	j.keep("password-acceptance-0")
	for _, path := range definitionOrder {
		written := j.definables()[path]
		answer := root.Write("ci/"+path, written)
		require.Equal(t, http.StatusNoContent, answer.Status, "%s: %v", path, answer.Errors)
		read := root.Read("ci/" + path).Data
		for field, value := range written {
			switch field {
			case "verify", "private_key", "token", "password":
				require.NotContains(t, read, field, path)
			default:
				require.Equal(t, value, read[field], "%s: %s", path, field)
			}
		}
	}
}

func (j *mainJob) replaceMergeDelete(t *testing.T) {
	root := j.For(t).Root()
	root.Must("ci/environments/twice", map[string]any{"description": "one", "ttl": 60, "allowed_roles": []string{"a", "b"}})
	root.Must("ci/environments/twice", map[string]any{"description": "two"})
	read := root.Read("ci/environments/twice").Data
	require.Equal(t, "two", read["description"])
	require.EqualValues(t, 0, read["ttl"], "what is left out goes back to its default")
	require.Equal(t, []any{"*"}, read["allowed_roles"])

	require.NoError(t, root.Patch("ci/environments/twice", map[string]any{"max_ttl": "5m"}).Failure())
	read = root.Read("ci/environments/twice").Data
	require.Equal(t, "two", read["description"])
	require.EqualValues(t, 300, read["max_ttl"], "durations read back in seconds")
	for _, path := range []string{"roles/none", "environments/none", "stages/none", "config/none", "issuers/none"} {
		require.Equal(t, http.StatusNotFound, root.Patch("ci/"+path, map[string]any{}).Status, path)
		require.Equal(t, http.StatusNotFound, root.Read("ci/"+path).Status, path)
		require.Equal(t, http.StatusNoContent, root.Delete("ci/"+path).Status, path)
	}
	for i := len(definitionOrder) - 1; i >= 0; i-- {
		for range 2 {
			answer := root.Delete("ci/" + definitionOrder[i])
			require.Equal(t, http.StatusNoContent, answer.Status, "%s: %v", definitionOrder[i], answer.Errors)
		}
	}
	require.NoError(t, root.Delete("ci/environments/twice").Failure())

	root.Must("ci/stages/build", map[string]any{"github": []string{"packages=read"}})
	j.refused(t, root.Read("ci/creds/build-dev"), http.StatusForbidden, "over the ceiling")
	require.NoError(t, root.Delete("ci/stages/build").Failure())
	j.credential(t, "build-dev", nil) // the built-in one has come back
}

func (j *mainJob) secretKept(t *testing.T) {
	root := j.For(t).Root()
	before := root.Read("ci/config/github").Data
	require.NotContains(t, before, "private_key")
	require.Len(t, before["private_key_sha256"], 64)
	root.Must("ci/config/github", j.config(map[string]any{"private_key": nil, "request_timeout": 5}))
	after := root.Read("ci/config/github").Data
	require.Equal(t, before["private_key_sha256"], after["private_key_sha256"])
	require.Equal(t, before["private_key_set_at"], after["private_key_set_at"])
	j.credential(t, "build-dev", nil)
	changed := root.Write("ci/config/github", map[string]any{"provider": "gitlab", "token": "glpat-x", "verify": false})
	j.refused(t, changed, http.StatusBadRequest, "provider: cannot change")
}

// stranger is a server that must not be asked anything.
func stranger(t *testing.T) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	asked := &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(server.Close)
	return server, asked
}

func (j *mainJob) noStranger(t *testing.T) {
	root := j.For(t).Root()
	server, asked := stranger(t)
	authority := string(githubtest.Start(t, githubtest.Options{TLS: true}).CAPEM())
	for _, verify := range []bool{true, false} {
		for field, value := range map[string]string{"base_url": server.URL, "ca_cert": authority} {
			change := map[string]any{field: value, "verify": verify}
			j.refused(t, root.Patch("ci/config/github", change), http.StatusBadRequest, "private_key: must come in the same write")
			change["private_key"] = nil
			j.refused(t, root.Write("ci/config/github", j.config(change)), http.StatusBadRequest, "private_key: must come in the same write")
		}
	}
	require.Zero(t, asked.Load())
	j.credential(t, "build-dev", nil)
}

func (j *mainJob) noRedirect(t *testing.T) {
	root := j.For(t).Root()
	elsewhere, asked := stranger(t)
	for _, status := range []int{http.StatusFound, http.StatusPermanentRedirect} {
		server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
		t.Cleanup(server.Close)
		j.refused(t, root.Write("ci/config/moved", j.config(map[string]any{"base_url": server.URL})), http.StatusBadGateway, "no redirect to another host is followed")
		root.Must("ci/config/moved", j.config(map[string]any{"base_url": server.URL, "verify": false}))
		j.role("moved", map[string]any{"config": "moved"})
		j.refused(t, root.Read("ci/creds/moved"), http.StatusBadGateway, "no redirect to another host is followed")
	}
	require.Zero(t, asked.Load())
}

func (j *mainJob) newKey(t *testing.T) {
	goOn := make(chan struct{})
	asked := j.mints()
	j.github.Inject(githubtest.Fault{Match: mintPath, Times: 1, After: true, Hang: goOn})
	inFlight := make(chan world.Answer, 1)
	root := j.Vault.Vault.Root()
	go func() {
		answer, _ := root.Read(t.Context(), "ci/creds/build-dev")
		inFlight <- answer
	}()
	eventually(t, time.Minute, "a mint is in flight", func() bool { return j.mints() == asked+1 })
	// The very same App with another key: the old one is worth nothing any more.
	other := j.github.AddApp(githubtest.App{Permissions: permissions()})
	j.keep(middle(other.PrivateKeyPEM()))
	j.github.SetKeys(j.app.ID, other.Keys...)
	j.app.Keys = other.Keys
	j.root.Must("ci/config/github", j.config(nil))
	j.credential(t, "build-dev", nil)
	require.Empty(t, inFlight, "nothing waited for the call in flight")
	close(goOn)
	answer := <-inFlight
	require.Equal(t, http.StatusOK, answer.Status, answer.Errors)
	j.keep(answer.Data["token"].(string))
}

func (j *mainJob) retiredAddress(t *testing.T) {
	root := j.For(t).Root()
	root.Must("ci/config/moving", j.config(nil))
	j.role("moving", map[string]any{"config": "moving"})
	old := j.credential(t, "moving", nil)
	next := githubtest.Start(t, githubtest.Options{})
	app, _ := next.Install("acme", permissions(), "web")
	j.keep(middle(app.PrivateKeyPEM()))
	root.Must("ci/config/moving", j.config(map[string]any{"base_url": next.URL(), "app_id": fmt.Sprint(app.ID), "private_key": app.PrivateKeyPEM()}))
	fresh := j.credential(t, "moving", nil)
	require.Equal(t, githubtest.Live, next.StateOf(fresh.token))
	require.NoError(t, root.Delete("ci/roles/moving").Failure())
	j.refused(t, root.Delete("ci/config/moving"), http.StatusConflict, "2 live token(s)")
	for _, got := range []credential{old, fresh} {
		require.NoError(t, root.Write("sys/leases/revoke", map[string]any{"lease_id": got.LeaseID, "sync": true}).Failure())
	}
	require.Equal(t, githubtest.Revoked, j.github.StateOf(old.token))
	require.Equal(t, githubtest.Revoked, next.StateOf(fresh.token))
	require.Equal(t, http.StatusNoContent, root.Delete("ci/config/moving").Status)
}

func (j *mainJob) inUse(t *testing.T) {
	root := j.For(t).Root()
	for _, path := range []string{"config/github", "environments/dev"} {
		j.refused(t, root.Delete("ci/"+path), http.StatusConflict, "is used by")
	}
}

func (j *mainJob) enterprise(t *testing.T) {
	root := j.For(t).Root()
	server := githubtest.Start(t, githubtest.Options{TLS: true, PathPrefix: "/api/v3", LongTokens: true})
	app, _ := server.Install("acme", permissions(), "web")
	j.keep(middle(app.PrivateKeyPEM()))
	config := j.config(map[string]any{"base_url": server.URL() + "/", "app_id": fmt.Sprint(app.ID), "private_key": app.PrivateKeyPEM()})
	j.refused(t, root.Write("ci/config/enterprise", config), http.StatusServiceUnavailable, "ca_cert")
	config["ca_cert"] = string(server.CAPEM())
	root.Must("ci/config/enterprise", config)
	j.role("enterprise", map[string]any{"config": "enterprise"})
	got := j.credential(t, "enterprise", nil)
	require.Greater(t, len(got.token), 500, "the longer of GitHub's two forms")
	require.Equal(t, githubtest.Live, server.StateOf(got.token))
	require.NoError(t, root.Write("sys/leases/revoke", map[string]any{"lease_id": got.LeaseID, "sync": true}).Failure())
	require.Equal(t, githubtest.Revoked, server.StateOf(got.token))
}

func (j *mainJob) info(t *testing.T) {
	info := j.For(t).Root().Read("ci/info").Data
	require.Regexp(t, `^v\d+\.\d+\.\d+`, info["version"])
	require.Equal(t, []any{"github", "gitlab", "gitea"}, info["platforms"])
	metrics := j.For(t).Root().Read("ci/metrics")
	require.Equal(t, http.StatusOK, metrics.Status)
	require.Contains(t, metrics.Header.Get("Content-Type"), "text/plain")
	require.Contains(t, string(metrics.Body), "# HELP")
}
