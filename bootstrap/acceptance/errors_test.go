// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// Whoever gets an error learns whose turn it is to do what, and an auditor reads in
// clear which gate was shut.
func TestErrors(t *testing.T) {
	j := newMainJob(t)
	t.Run("a config that is wrong is a 400 that says what", j.wrongConfigs)
	t.Run("a clock that is off is said", j.clockOff)
	t.Run("a role that is wrong is a 400 that says what", j.wrongRoles)
	t.Run("a shut gate is a 403, in clear in the audit file", j.shutGates)
	t.Run("a proof in a query is refused", j.proofInQuery)
	t.Run("what the platform lacks is named", j.platformLacks)
	t.Run("a limit is a 429 with the wait, for that config alone", j.limited)
	t.Run("a platform that fails is a 502 or a 503", j.platformFails)
	t.Run("the words that Vault Agent takes for its own login are never said", j.neverInvalidToken)
}

// refused holds that a request is refused with that status and says so.
func (j *mainJob) refused(t *testing.T, answer world.Answer, status int, says string) {
	t.Helper()
	require.Equal(t, status, answer.Status, answer.Errors)
	require.Contains(t, strings.Join(answer.Errors, " "), says)
}

// key makes a private key that no App has.
func (j *mainJob) key(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	j.keep(middle(text))
	return text
}

func (j *mainJob) wrongConfigs(t *testing.T) {
	root := j.For(t).Root()
	j.keep("hunter2")
	for name, c := range map[string]struct {
		changes map[string]any
		status  int
		says    string
	}{
		"a key that is none":   {map[string]any{"private_key": "hunter2"}, 400, "private_key: is not PEM"},
		"a key in a list":      {map[string]any{"private_key": []string{j.key(t)}}, 400, "private_key: must be a text"},
		"another's key":        {map[string]any{"private_key": j.key(t)}, 400, "is private_key one of its keys?"},
		"no such App":          {map[string]any{"app_id": "424242"}, 400, "knows no App with app_id 424242"},
		"no such installation": {map[string]any{"installation_id": "424242"}, 400, "installation_id"},
		"http":                 {map[string]any{"base_url": "http://github.example.com"}, 400, "base_url: must be https"},
		"no URL":               {map[string]any{"base_url": "github.com"}, 400, "base_url: is not an absolute URL"},
		"an unknown field":     {map[string]any{"privatekey": "hunter2"}, 400, "privatekey: is not a field of this path; allowed: allowed_roles"},
		"an unknown platform":  {map[string]any{"provider": "svn"}, 400, "provider: must be one of github, gitlab, gitea"},
		"nobody answers":       {map[string]any{"base_url": "http://127.0.0.1:1"}, 503, "verify=false skips this"},
		"a wrong type":         {map[string]any{"max_concurrency": "many"}, 400, "max_concurrency"},
		"a wrong certificate":  {map[string]any{"ca_cert": "hunter2"}, 400, "ca_cert"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := root.Write("ci/config/wrong", j.config(c.changes))
			j.refused(t, answer, c.status, c.says)
			require.NotContains(t, string(answer.Body), "hunter2", "what was written there may be a secret")
			require.Equal(t, http.StatusNotFound, root.Read("ci/config/wrong").Status)
		})
	}
}

func (j *mainJob) clockOff(t *testing.T) {
	for says, off := range map[string]time.Duration{"behind": 2 * time.Hour, "ahead of": -2 * time.Hour} {
		elsewhen := githubtest.Start(t, githubtest.Options{Now: func() time.Time { return time.Now().Add(off) }})
		app, _ := elsewhen.Install("acme", permissions(), "web")
		j.keep(middle(app.PrivateKeyPEM()))
		answer := j.For(t).Root().Write("ci/config/elsewhen", j.config(map[string]any{
			"base_url": elsewhen.URL(), "app_id": fmt.Sprint(app.ID), "private_key": app.PrivateKeyPEM(),
		}))
		j.refused(t, answer, http.StatusBadRequest, "this machine's clock is")
		j.refused(t, answer, http.StatusBadRequest, says+" GitHub's: set it")
	}
}

func (j *mainJob) wrongRoles(t *testing.T) {
	root := j.For(t).Root()
	right := map[string]any{
		"config": "github", "stage": "build", "environment": "dev", "owner": "team-web", "purpose": "build the site",
		"repositories": []string{"web"}, "permissions": []string{"contents=read"},
	}
	for name, c := range map[string]struct {
		field string
		value any
		says  []string
	}{
		"over its ceiling":   {"permissions", []string{"contents=write", "packages=read", "administration=write"}, []string{"contents=write (at most contents=read)", "administration=write (not allowed at all)"}},
		"empty permissions":  {"permissions", []string{}, []string{"permissions", "none never means all"}},
		"empty repositories": {"repositories", []string{}, []string{"repositories", "none never means all"}},
		"two accounts":       {"repositories", []string{"web", "umbrella/app"}, []string{"one role, one account"}},
		"no owner":           {"owner", "", []string{"owner: is required"}},
		"an unknown field":   {"repository", "web", []string{"repository: is not a field of this path"}},
		"no such stage":      {"stage", "none", []string{`there is no stage "none"`}},
	} {
		t.Run(name, func(t *testing.T) {
			body := map[string]any{c.field: c.value}
			for field, value := range right {
				if field != c.field {
					body[field] = value
				}
			}
			answer := root.Write("ci/roles/wrong", body)
			for _, says := range c.says {
				j.refused(t, answer, http.StatusBadRequest, says)
			}
		})
	}
}

func (j *mainJob) shutGates(t *testing.T) {
	root := j.For(t).Root()
	for path, c := range map[string]struct {
		role map[string]any
		gate string
	}{
		"gate-disabled":   {map[string]any{"disabled": true}, "enabled: role"},
		"gate-ended":      {map[string]any{"valid_until": "2020-01-01T00:00:00Z"}, "validity: role"},
		"gate-elsewhere":  {map[string]any{"bound_cidrs": []string{"192.0.2.0/24"}}, "caller_address: 127.0.0.1 is outside 192.0.2.0/24"},
		"gate-unapproved": {map[string]any{"required_approvals": 1}, "approval: 1 other(s) must approve"},
		"gate-beyond/api": {nil, `repositories: "api" is beyond role`},
	} {
		role, _, _ := strings.Cut(path, "/")
		j.role(role, c.role)
		answer := root.Read("ci/creds/" + path)
		j.refused(t, answer, http.StatusForbidden, c.gate)
		entries := j.For(t).Audit().Responses().Path("ci/creds/" + path)
		require.NotEmpty(t, entries)
		require.Contains(t, entries[len(entries)-1].Error, c.gate, "the auditor reads which gate it was")
	}
}

func (j *mainJob) proofInQuery(t *testing.T) {
	for _, path := range []string{"ci/creds/build-dev", "ci/creds/build-dev/web", "ci/explain/build-dev"} {
		for _, field := range []string{"id_token", "approval_id"} {
			j.refused(t, j.For(t).Root().Read(path+"?"+field+"=aaaa.bbbb.cccc"), http.StatusBadRequest, field+": is taken from a request body only")
		}
	}
}

func (j *mainJob) platformLacks(t *testing.T) {
	j.role("attest", map[string]any{"stage": "release", "permissions": []string{"attestations=write"}})
	j.role("lost", map[string]any{"repositories": []string{"web", "nowhere"}})
	j.role("stranger", map[string]any{"repositories": []string{"initech/app"}})
	for role, says := range map[string][]string{
		"attest":   {"lacks attestations=write", fmt.Sprintf("settings/installations/%d", j.inst.ID)},
		"lost":     {"acme/nowhere: does not exist, or is not among the repositories", fmt.Sprintf("settings/installations/%d", j.inst.ID)},
		"stranger": {"is not installed on initech"},
	} {
		answer := j.For(t).Root().Read("ci/creds/" + role)
		for _, text := range says {
			j.refused(t, answer, http.StatusBadRequest, text)
		}
	}
}

func (j *mainJob) limited(t *testing.T) {
	root := j.For(t).Root()
	for _, status := range []int{http.StatusForbidden, http.StatusTooManyRequests} {
		for name, limit := range map[string]githubtest.Fault{
			"secondary": githubtest.SecondaryLimit(status, 3), "primary": githubtest.PrimaryLimit(status, time.Now().Add(4*time.Second)),
		} {
			config := fmt.Sprintf("limited-%s-%d", name, status)
			root.Must("ci/config/"+config, j.config(nil))
			j.role(config, map[string]any{"config": config})
			limit.Match, limit.Times = mintPath, 1
			j.github.Inject(limit)
			j.refused(t, root.Read("ci/creds/"+config), http.StatusTooManyRequests, "limit")
			asked := j.mints()
			second := root.Read("ci/creds/" + config)
			j.refused(t, second, http.StatusTooManyRequests, "limits config")
			require.Regexp(t, `another \d+s`, second.Errors[0])
			require.Equal(t, asked, j.mints(), "GitHub is left alone meanwhile")
			j.credential(t, "build-dev", nil) // another config's business
			eventually(t, time.Minute, "the wait is over", func() bool {
				answer := root.Read("ci/creds/" + config)
				if token, ok := answer.Data["token"].(string); ok {
					j.keep(token)
				}
				return answer.Status == http.StatusOK
			})
		}
	}
}

func (j *mainJob) platformFails(t *testing.T) {
	live := j.github.Live()
	for name, c := range map[string]struct {
		fault  githubtest.Fault
		status int
	}{
		"bad gateway":    {githubtest.BadGateway(), http.StatusServiceUnavailable},
		"reset":          {githubtest.Fault{Reset: true}, http.StatusServiceUnavailable},
		"not authorised": {githubtest.Fault{Status: http.StatusUnauthorized, Body: `{"message":"Bad credentials"}`}, http.StatusBadGateway},
		"nonsense":       {githubtest.Fault{Status: http.StatusCreated, Body: `{"hello":"world"}`}, http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			c.fault.Match, c.fault.Times = mintPath, 1
			j.github.Inject(c.fault)
			answer := j.For(t).Root().Read("ci/creds/build-dev")
			require.Equal(t, c.status, answer.Status, answer.Errors)
			require.Equal(t, live, j.github.Live())
		})
	}
	j.credential(t, "build-dev", nil)
}

func (j *mainJob) neverInvalidToken(t *testing.T) {
	failed := 0
	for _, entry := range j.For(t).Audit().Responses().Under("ci/") {
		if entry.Error != "" {
			failed++
			require.NotContains(t, strings.ToLower(entry.Error), "invalid token")
		}
	}
	require.Greater(t, failed, 5)
	for _, body := range []map[string]any{{"token": ""}, {"token": "ghs_nobody"}, {"token": strings.Repeat("x", 10_000)}} {
		for _, path := range []string{"ci/introspect", "ci/exposed"} {
			require.NotContains(t, strings.ToLower(string(j.For(t).Root().Write(path, body).Body)), "invalid token")
		}
	}
}
