// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// What a caller names narrows what a role allows, in every form that Vault's API and
// its ACL policies offer.
func TestCreds(t *testing.T) {
	j := newMainJob(t)
	j.role("two", map[string]any{"repositories": []string{"web", "acme/api"}, "permissions": []string{"contents=read", "checks=write"}})
	j.role("services", map[string]any{"repositories": []string{"svc-*"}})
	j.role("hidden", map[string]any{"repositories": []string{".github"}})
	t.Run("narrows by query", j.narrowsByQuery)
	t.Run("narrows by path", j.narrowsByPath)
	t.Run("never widens", j.neverWidens)
	t.Run("a templated policy binds a caller to a repository", j.templatedPolicy)
	t.Run("many accounts behind one App", j.manyAccounts)
	t.Run("explain makes nothing", j.explainMakesNothing)
	t.Run("git clones with it", j.clones)
	t.Run("a response can be wrapped", j.wraps)
	t.Run("each cap on a lease is said", j.capsAreSaid)
}

func (j *mainJob) narrowsByQuery(t *testing.T) {
	for query, reach := range map[string][2][]any{
		"":                                  {{"web", "acme/api"}, {"contents=read", "checks=write"}},
		"repositories=web":                  {{"web"}, {"contents=read", "checks=write"}},
		"repositories=web&repositories=api": {{"web", "acme/api"}, {"contents=read", "checks=write"}},
		"permissions=checks=read":           {{"web", "acme/api"}, {"checks=read"}},
		"repositories=ACME/api&ttl=30s":     {{"acme/api"}, {"contents=read", "checks=write"}},
		"repositories=web,api&permissions=contents%3Dread": {{"web", "acme/api"}, {"contents=read"}},
	} {
		answer := j.For(t).Root().Read("ci/creds/two?" + query)
		require.Equal(t, http.StatusOK, answer.Status, "%s: %v", query, answer.Errors)
		j.keep(answer.Data["token"].(string))
		require.Equal(t, reach[0], answer.Data["repositories"], query)
		require.Equal(t, reach[1], answer.Data["permissions"], query)
		if strings.Contains(query, "ttl") {
			require.Equal(t, 30*time.Second, answer.LeaseDuration)
		}
	}
}

func (j *mainJob) narrowsByPath(t *testing.T) {
	for path, written := range map[string]string{
		"two/web": "web", "two/api": "acme/api", "two/acme/web": "web", "two/Acme/WEB": "web",
		"services/svc-a": "svc-a", "services/acme/svc-b": "svc-b", "hidden/.github": ".github", "hidden/acme/.github": ".github",
	} {
		got := j.credential(t, path, nil)
		require.Equal(t, []any{written}, got.Data["repositories"], path)
		made := j.github.Tokens()[len(j.github.Tokens())-1]
		require.Len(t, made.Repositories, 1, "the token itself is that narrow")
	}
}

func (j *mainJob) neverWidens(t *testing.T) {
	asked := j.mints()
	for path, status := range map[string]int{
		"two/svc-a": 403, "two/umbrella/web": 403, "two?repositories=svc-a": 403, "two?permissions=contents=write": 403,
		"two?repositories=": 400, "two?permissions=": 400, "two?ttl=0": 400, "two?ttl=-1": 400, "two?repos=web": 400,
		"services": 400, "services/svc-*": 400, "services/web": 403, "services/" + url.PathEscape("svc-a svc-b"): 400,
		"none": 404, "none/web": 404,
	} {
		answer := j.For(t).Root().Read("ci/creds/" + path)
		require.Equal(t, status, answer.Status, "%s: %v", path, answer.Errors)
		require.NotEmpty(t, answer.Errors, path)
	}
	for _, body := range []map[string]any{{"repositories": []string{}}, {"permissions": []string{}}} {
		answer := j.For(t).Root().Write("ci/creds/two", body)
		require.Equal(t, http.StatusBadRequest, answer.Status)
		require.Contains(t, answer.Errors[0], "none never means all")
	}
	require.Equal(t, asked, j.mints(), "GitHub was not even asked")
}

func (j *mainJob) templatedPolicy(t *testing.T) {
	vault := j.For(t)
	vault.Policy("own-repository", `path "ci/creds/two/{{identity.entity.name}}" { capabilities = ["read"] }`)
	accessor, err := vault.EnableUserpass(t.Context(), "people")
	require.NoError(t, err)
	user := world.User{Name: "job", Password: "not a secret", Policies: []string{"own-repository"}}
	_, err = vault.PutEntity(t.Context(), world.Entity{Name: "api", Aliases: map[string]string{accessor: "job"}})
	require.NoError(t, err)
	require.NoError(t, vault.Root().Write("auth/people/users/job", map[string]any{"password": user.Password, "token_policies": user.Policies}).Failure())
	session, err := vault.LoginUserpass(t.Context(), "people", user)
	require.NoError(t, err)
	caller := vault.As(session.Token)
	got := caller.Read("ci/creds/two/api")
	require.Equal(t, http.StatusOK, got.Status, got.Errors)
	j.keep(got.Data["token"].(string))
	for _, path := range []string{"ci/creds/two", "ci/creds/two/web"} {
		require.Equal(t, http.StatusForbidden, caller.Read(path).Status, path)
	}
}

func (j *mainJob) manyAccounts(t *testing.T) {
	j.github.AddRepositories("umbrella", "app")
	j.github.AddInstallation(githubtest.Installation{AppID: j.app.ID, Account: "umbrella"})
	j.github.AddUser("alice")
	j.github.AddRepositories("alice", "dotfiles")
	j.github.AddInstallation(githubtest.Installation{AppID: j.app.ID, Account: "alice"})
	for repository, account := range map[string]string{"umbrella/app": "umbrella", "UMBRELLA/app": "umbrella", "alice/dotfiles": "alice", "acme/web": "acme"} {
		j.role("elsewhere", map[string]any{"repositories": []string{repository}})
		got := j.credential(t, "elsewhere", nil)
		require.True(t, strings.EqualFold(account, got.Data["organization"].(string)))
		require.Equal(t, account, j.github.Tokens()[len(j.github.Tokens())-1].Account)
	}
}

func (j *mainJob) capsAreSaid(t *testing.T) {
	j.root.Must("ci/environments/tight", map[string]any{"max_ttl": 20})
	for name, c := range map[string]struct {
		role, ask map[string]any
		ttl       time.Duration
		warning   string
	}{
		"the caller's":      {map[string]any{"ttl": 60}, map[string]any{"ttl": "5s"}, 5 * time.Second, ""},
		"the role's":        {map[string]any{"ttl": 60}, map[string]any{"ttl": "5m"}, time.Minute, "5m0s was asked"},
		"the environment's": {map[string]any{"environment": "tight"}, nil, 20 * time.Second, `max_ttl of environment "tight"`},
		"GitHub's":          {map[string]any{"ttl": "3h"}, nil, time.Hour, "the platform gives the token"},
	} {
		t.Run(name, func(t *testing.T) {
			j.role("capped", c.role)
			got := j.credential(t, "capped", c.ask)
			require.InDelta(t, c.ttl.Seconds(), got.LeaseDuration.Seconds(), 2)
			if c.warning == "" {
				require.Empty(t, got.Warnings)
				return
			}
			require.Len(t, got.Warnings, 1)
			require.Contains(t, got.Warnings[0], c.warning)
		})
	}
	t.Run("the mount's", func(t *testing.T) {
		require.NoError(t, j.root.Write("sys/mounts/ci/tune", map[string]any{"max_lease_ttl": "15s"}).Failure())
		eventually(t, 30*time.Second, "the engine has heard of it", func() bool {
			got := j.credential(t, "build-dev", nil)
			require.Equal(t, 15*time.Second, got.LeaseDuration)
			require.Len(t, got.Warnings, 1)
			return strings.Contains(got.Warnings[0], "max_lease_ttl of the mount")
		})
	})
}

func (j *mainJob) explainMakesNothing(t *testing.T) {
	asked := j.mints()
	open := j.For(t).Root().Read("ci/explain/build-dev")
	require.NoError(t, open.Failure())
	require.Equal(t, true, open.Data["allowed"])
	require.Empty(t, open.Data["shut"])
	require.Equal(t, []any{"web"}, open.Data["repositories"])
	require.EqualValues(t, 120, number(t, open.Data["ttl"]))

	j.role("shut", map[string]any{"disabled": true, "valid_until": "2020-01-01T00:00:00Z"})
	shut := j.For(t).Root().Write("ci/explain/shut", map[string]any{"repositories": []string{"api"}})
	require.NoError(t, shut.Failure())
	require.Equal(t, false, shut.Data["allowed"])
	require.Subset(t, shut.Data["shut"], []any{"enabled", "validity", "repositories"}, "each gate is asked, not the first alone")
	require.Equal(t, asked, j.mints())
}

func (j *mainJob) clones(t *testing.T) {
	got := j.credential(t, "build-dev", nil)
	address, err := url.Parse(j.github.GitURL("acme", "web"))
	require.NoError(t, err)
	address.User = url.UserPassword(got.Data["username"].(string), got.token)
	clone := func(into string) ([]byte, error) {
		return exec.CommandContext(t.Context(), "git", "clone", "--quiet", address.String(), into).CombinedOutput()
	}
	output, err := clone(filepath.Join(t.TempDir(), "web"))
	require.NoError(t, err, string(output))
	require.NoError(t, j.For(t).Root().Write("ci/tokens/"+got.id+"/revoke", nil).Failure())
	_, err = clone(filepath.Join(t.TempDir(), "again"))
	require.Error(t, err, "the token is dead")
}

func (j *mainJob) wraps(t *testing.T) {
	root := j.For(t).Root()
	wrapped := root.Do(world.Request{Method: http.MethodGet, Path: "ci/creds/build-dev", Header: http.Header{"X-Vault-Wrap-Ttl": {"60"}}})
	require.NoError(t, wrapped.Failure())
	require.Nil(t, wrapped.Data["token"])
	unwrapped := root.Write("sys/wrapping/unwrap", map[string]any{"token": wrapped.WrapInfo["token"]})
	require.NoError(t, unwrapped.Failure())
	token := unwrapped.Data["token"].(string)
	j.keep(token)
	require.Equal(t, githubtest.Live, j.github.StateOf(token))
}
