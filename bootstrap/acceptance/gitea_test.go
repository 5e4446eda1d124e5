// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world/worldtest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea/giteatest"
)

// forge is a Vault with the engine at ci/ and a real Gitea behind it, with a proxy in
// between that can keep an answer.
type forge struct {
	*worldtest.Vault
	t      *testing.T
	root   *worldtest.Caller
	gitea  *giteatest.Server
	proxy  *proxy
	admin  string
	hidden []string
}

// newForge starts one with the repositories acme/web and acme/api, the config gitea,
// the environment dev and the role push on acme/web.
func newForge(t *testing.T) *forge {
	t.Helper()
	f := &forge{t: t, gitea: giteatest.New(t), admin: "vault-ci"}
	require.NoError(t, f.gitea.CreateOrganization(t.Context(), "acme"))
	for _, name := range []string{"web", "api"} {
		require.NoError(t, f.gitea.CreateRepository(t.Context(), "acme", name))
	}
	password, err := f.gitea.CreateAdmin(t.Context(), f.admin)
	require.NoError(t, err)
	f.proxy = newProxy(t, f.gitea.URL)
	f.Vault = worldtest.StartVault(t, world.Options{})
	f.Mount("ci/", f.Register(worldtest.BuildPlugin(t)), api.MountConfigInput{AuditNonHMACResponseKeys: world.AuditKeys()})
	f.root = f.Root()
	f.root.Must("ci/config/gitea", map[string]any{
		"provider": "gitea", "base_url": f.proxy.url, "username": f.admin, "password": password,
	})
	f.root.Must("ci/environments/dev", map[string]any{"description": "where it may break"})
	f.role(t, "push", nil)
	f.hide(password)
	return f
}

func (f *forge) hide(secret string) { f.hidden = append(f.hidden, secret) }

// role writes a role that writes to acme/web, with changes.
func (f *forge) role(t *testing.T, name string, changes map[string]any) {
	t.Helper()
	require.NoError(t, f.tryRole(t, name, changes).Failure())
}

func (f *forge) tryRole(t *testing.T, name string, changes map[string]any) world.Answer {
	t.Helper()
	role := map[string]any{
		"config": "gitea", "stage": "release", "environment": "dev", "owner": "team-web", "purpose": "release the site",
		"repositories": []string{"acme/web"}, "permissions": []string{"repository=write"}, "ttl": 600,
	}
	maps.Copy(role, changes)
	return f.For(t).Root().Write("ci/roles/"+name, role)
}

// held is a credential as a job holds it.
type held struct {
	issued
	username string
}

// read reads a credential on the command line, as a job does.
func (f *forge) read(t *testing.T, role string) held {
	t.Helper()
	out := f.For(t).CLI("read", "-format=json", "ci/creds/"+role)
	require.Zero(t, out.Code, out.Stderr)
	var answer struct {
		LeaseID string `json:"lease_id"`
		Data    struct {
			Token, Username string
			TokenID         string `json:"token_id"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out.Stdout), &answer))
	f.hide(answer.Data.Token)
	return held{issued{answer.Data.TokenID, answer.Data.Token, answer.LeaseID}, answer.Data.Username}
}

// revoke ends a lease now.
func (f *forge) revoke(t *testing.T, h held) {
	t.Helper()
	out := f.For(t).CLI("lease", "revoke", "-sync", h.lease)
	require.Zero(t, out.Code, out.Stderr)
}

// accounts are the accounts that the engine keeps at the server.
func (f *forge) accounts(t *testing.T) []string {
	t.Helper()
	var all []struct{ Login string }
	require.NoError(t, f.gitea.API(t.Context(), http.MethodGet, "/admin/users?limit=50", nil, &all))
	var names []string
	for _, account := range all {
		if strings.HasPrefix(account.Login, "ci-") {
			names = append(names, account.Login)
		}
	}
	return names
}

// tokens are the names of the live tokens of all those accounts.
func (f *forge) tokens(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, account := range f.accounts(t) {
		var tokens []struct{ Name string }
		require.NoError(t, f.gitea.API(t.Context(), http.MethodGet, "/users/"+account+"/tokens", nil, &tokens))
		for _, token := range tokens {
			names = append(names, token.Name)
		}
	}
	return names
}

// wakes waits until the plugin answers again after it was killed.
func (f *forge) wakes(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, "another plugin", func() bool { return f.For(t).Root().Read("ci/info").Status == http.StatusOK })
}

// job is where git runs with one credential.
type job struct {
	*forge
	held
	dir string
}

func (f *forge) job(t *testing.T, h held) job { return job{f, h, t.TempDir()} }

// git runs git without anybody's configuration.
func (j job) git(dir string, args ...string) (string, error) {
	run := exec.Command("git", args...)
	run.Dir = dir
	run.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + j.dir, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=ci", "GIT_AUTHOR_EMAIL=ci@example.com", "GIT_COMMITTER_NAME=ci", "GIT_COMMITTER_EMAIL=ci@example.com",
	}
	out, err := run.CombinedOutput()
	return string(out), err
}

// clone clones a repository of acme's into a folder of that name.
func (j job) clone(t *testing.T, name string) (string, error) {
	t.Helper()
	u, err := url.Parse(j.gitea.CloneURL("acme", name))
	require.NoError(t, err)
	u.User = url.UserPassword(j.username, j.token)
	return j.git(j.dir, "clone", "--quiet", u.String(), name)
}

// push commits a file to the clone of web and pushes it.
func (j job) push(t *testing.T, file string) (string, error) {
	t.Helper()
	clone := filepath.Join(j.dir, "web")
	require.NoError(t, os.WriteFile(filepath.Join(clone, file), []byte("built"), 0o600))
	for _, args := range [][]string{{"add", "."}, {"commit", "--quiet", "-m", "add " + file}} {
		out, err := j.git(clone, args...)
		require.NoError(t, err, out)
	}
	return j.git(clone, "push", "--quiet", "origin", "main")
}

func TestGitea(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	t.Run("git works with the credential on the role's repository, while the lease lives", f.git)
	t.Run("what the platform saw of it is on record", f.observed)
	t.Run("nothing narrower than the role can be had, and 400 says why", f.narrowing)
	t.Run("a token that could make others cannot be had", f.dangerous)
	t.Run("the account goes with its role when no token lives", f.accountGoes)
	t.Run("a token whose answer was lost is found by its name", f.lostAnswer)
	t.Run("a token whose plugin was killed before it knew of it is found too", f.killed)
	t.Run("the engine's own password is replaced", f.rotates)
	t.Run("an older snapshot brings no token back", f.restored)
	f.For(t).NoSecrets(f.hidden...)
}

func (f *forge) git(t *testing.T) {
	first := f.job(t, f.read(t, "push"))
	out, err := first.clone(t, "web")
	require.NoError(t, err, out)
	out, err = first.push(t, "first.txt")
	require.NoError(t, err, out)
	out, err = first.clone(t, "api")
	require.Error(t, err, "a repository that is not its role's")
	require.Contains(t, out, "not found")
	f.revoke(t, first.held)
	out, err = first.push(t, "second.txt")
	require.Error(t, err, "after its lease was revoked")
	require.Contains(t, out, "Authentication failed")

	f.role(t, "brief", map[string]any{"ttl": 2, "max_ttl": 4})
	brief := f.job(t, f.read(t, "brief"))
	eventually(t, time.Minute, "the lease has ended", func() bool { return !slices.Contains(f.tokens(t), brief.id) })
	_, err = brief.clone(t, "web")
	require.Error(t, err, "after its lease has ended")
	require.NoError(t, f.For(t).Root().Delete("ci/roles/brief").Failure())
}

func (f *forge) observed(t *testing.T) {
	h := f.read(t, "push")
	root := f.For(t).Root()
	require.Equal(t, "", record(t, root, h.id)["last_used_at"])
	issuedAt := time.Now()
	// Gitea tells seconds, and of a token that is used in that of its making nothing.
	eventually(t, 10*time.Second, "the next second", func() bool { return time.Since(issuedAt) > 1100*time.Millisecond })
	out, err := f.job(t, h).clone(t, "web")
	require.NoError(t, err, out)
	f.revoke(t, h)
	r := record(t, root, h.id)
	require.Equal(t, "revoked", r["status"])
	require.Equal(t, "platform", r["use_reported_by"])
	used, err := time.Parse(time.RFC3339, r["last_used_at"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), used, time.Minute)
}

func (f *forge) narrowing(t *testing.T) {
	refused := func(answer world.Answer) {
		t.Helper()
		require.Equal(t, http.StatusBadRequest, answer.Status, answer.Errors)
		require.Contains(t, answer.Failure().Error(), "make a role for each set of repositories")
	}
	root := f.For(t).Root()
	f.role(t, "both", map[string]any{"repositories": []string{"acme/web", "acme/api"}})
	refused(root.Read("ci/creds/both/web"))
	refused(root.Write("ci/creds/both", map[string]any{"repositories": []string{"acme/api"}}))
	whole := root.Write("ci/creds/both", map[string]any{"permissions": []string{"repository=read"}})
	require.NoError(t, whole.Failure(), "fewer permissions")
	require.ElementsMatch(t, []any{"acme/web", "acme/api"}, whole.Data["repositories"])
	require.NoError(t, root.Read("ci/creds/push/web").Failure(), "all that the role has is no narrowing")

	refused(f.tryRole(t, "any", map[string]any{"repositories": []string{"acme/*"}}))
	require.NotEmpty(t, f.For(t).KillPlugins())
	f.wakes(t)
	refused(f.tryRole(t, "any", map[string]any{"repositories": []string{"acme/w*"}}))
	root.Must("ci/issuers/forge", map[string]any{
		"bound_issuer": "https://git.example.com/api/actions", "audiences": "vault", "preset": "forgejo",
		"discovery_url": "", "public_keys": []string{publicKey(t)}, "config": "gitea",
	})
	refused(f.tryRole(t, "own", map[string]any{
		"repositories": []string{"{{claims.repository}}"}, "issuer": "forge", "bound_claims": []string{"repository=acme/*"},
	}))
	root.Must("ci/revoke", map[string]any{"config": "gitea"})
	require.NoError(t, root.Delete("ci/roles/both").Failure())
}

// publicKey is one in PEM, of which nobody has the private half.
func publicKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (f *forge) dangerous(t *testing.T) {
	root := f.For(t).Root()
	for _, permission := range []string{"user=write", "admin=read", "all=write"} {
		answer := root.Write("ci/stages/wide", map[string]any{"gitea": []string{permission}})
		require.Equal(t, http.StatusBadRequest, answer.Status, permission)
		require.Contains(t, answer.Failure().Error(), "tokens that never end")
		answer = f.tryRole(t, "wide", map[string]any{"permissions": []string{permission}})
		require.Equal(t, http.StatusBadRequest, answer.Status, permission)
	}
}

func (f *forge) accountGoes(t *testing.T) {
	root := f.For(t).Root()
	f.role(t, "passing", nil)
	h := f.read(t, "passing")
	require.Contains(t, f.accounts(t), h.username)
	require.NotEqual(t, f.read(t, "push").username, h.username, "two roles share an account")
	require.NoError(t, root.Delete("ci/roles/passing").Failure())
	require.Contains(t, f.accounts(t), h.username, "its token lives")
	f.revoke(t, h)
	eventually(t, time.Minute, "the account is gone", func() bool { return !slices.Contains(f.accounts(t), h.username) })
}

const making = "POST /api/v1/users/"

func (f *forge) lostAnswer(t *testing.T) {
	root := f.For(t).Root()
	root.Must("ci/revoke", map[string]any{"config": "gitea"})
	require.Empty(t, f.tokens(t))
	answered := f.proxy.keepAnswer(making)
	result := make(chan world.Answer, 1)
	go func() {
		answer, _ := root.Caller.Read(t.Context(), "ci/creds/push")
		result <- answer
	}()
	<-answered
	require.Len(t, f.tokens(t), 1)
	f.proxy.cut()
	require.Equal(t, http.StatusServiceUnavailable, (<-result).Status)
	require.Len(t, f.tokens(t), 1)
	f.proxy.heal()
	eventually(t, 2*time.Minute, "the token is dead", func() bool { return len(f.tokens(t)) == 0 })
	require.Equal(t, 1, timesTold(eventsOf(t, root), "orphan_revoked", ""))
	f.revoke(t, f.read(t, "push"))
}

func (f *forge) killed(t *testing.T) {
	root := f.For(t).Root()
	before := timesTold(eventsOf(t, root), "orphan_revoked", "")
	kept := f.read(t, "push")
	answered := f.proxy.keepAnswer(making)
	go func() { _, _ = root.Caller.Read(t.Context(), "ci/creds/push") }()
	<-answered
	require.Len(t, f.tokens(t), 2)
	require.NotEmpty(t, f.For(t).KillPlugins())
	f.proxy.heal()
	f.wakes(t)
	eventually(t, 2*time.Minute, "the token is dead", func() bool { return slices.Equal([]string{kept.id}, f.tokens(t)) })
	eventually(t, 10*time.Second, "the log says so", func() bool { return timesTold(eventsOf(t, root), "orphan_revoked", "") == before+1 })
	f.revoke(t, kept)
}

func (f *forge) rotates(t *testing.T) {
	root := f.For(t).Root()
	old := f.hidden[0]
	before := root.Read("ci/config/gitea").Data
	h := f.read(t, "push")
	answer := root.Write("ci/rotate-root/gitea", nil)
	require.NoError(t, answer.Failure())
	require.Equal(t, root.Read("ci/config/gitea").Data, answer.Data)
	require.NotEqual(t, before["password_sha256"], answer.Data["password_sha256"])
	require.NotContains(t, answer.Data, "password")

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.gitea.URL+"/api/v1/user", nil)
	require.NoError(t, err)
	request.SetBasicAuth(f.admin, old)
	got, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, got.Body.Close())
	require.Equal(t, http.StatusUnauthorized, got.StatusCode, "the old password still works")

	f.revoke(t, h)
	f.revoke(t, f.read(t, "push"))
	require.Empty(t, f.tokens(t))
	require.Equal(t, 1, timesTold(eventsOf(t, root), "root_rotated", ""))
}

func (f *forge) restored(t *testing.T) {
	kept := f.read(t, "push")
	snapshot := f.For(t).Snapshot()
	forgotten := f.read(t, "push")
	f.role(t, "younger", map[string]any{"repositories": []string{"acme/api"}})
	younger := f.read(t, "younger")
	require.ElementsMatch(t, []string{kept.id, forgotten.id, younger.id}, f.tokens(t))
	f.For(t).Restore(snapshot, false)
	restored := time.Now()
	eventually(t, 2*time.Minute, "only what is on record lives", func() bool { return slices.Equal([]string{kept.id}, f.tokens(t)) })
	t.Logf("dead %s after the restore", time.Since(restored).Round(time.Millisecond))
	f.revoke(t, kept)
	require.Empty(t, f.tokens(t))
}
