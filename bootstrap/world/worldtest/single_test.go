// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package worldtest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world/worldtest"
)

const readAll = `path "kv/*" { capabilities = ["read"] }`

func TestOneNode(t *testing.T) {
	t.Parallel()
	vault := worldtest.StartVault(t, world.Options{})
	require.NoError(t, vault.MountBuiltin(t.Context(), "kv", "kv"))
	root := vault.Root()

	t.Run("a caller sees statuses", func(t *testing.T) {
		written := root.Write("kv/one", map[string]any{"word": "first"})
		require.Equal(t, http.StatusNoContent, written.Status)
		read := root.Read("kv/one")
		require.Equal(t, http.StatusOK, read.Status)
		require.Equal(t, "first", read.Data["word"])
		require.NotEmpty(t, read.RequestID)
		require.Equal(t, []any{"one"}, root.List("kv").Data["keys"])
		require.Equal(t, http.StatusNoContent, root.Delete("kv/one").Status)

		missing := root.Read("kv/one")
		require.Equal(t, http.StatusNotFound, missing.Status)
		require.Error(t, missing.Failure())
		refused := vault.As("wrong").Read("kv/one")
		require.Equal(t, http.StatusForbidden, refused.Status)
		require.Contains(t, refused.Failure().Error(), "permission denied")
	})

	t.Run("the audit file is read over rotations", func(t *testing.T) {
		id := root.Must("kv/audited", map[string]any{"word": "in-the-clear-nowhere"}).RequestID
		require.Empty(t, id, "a 204 has no body")
		require.NoError(t, vault.RotateAudit(t.Context()))
		read := root.Read("kv/audited")

		entries := vault.Audit().Path("kv/audited")
		require.Len(t, entries, 4)
		require.Len(t, entries.Requests().Operation("update", "create"), 1)
		answered := entries.Responses().Request(read.RequestID)
		require.Len(t, answered, 1)
		require.Contains(t, answered[0].Response.Data["word"], "hmac-sha256:")
		require.Equal(t, "kv/", answered[0].Request.MountPoint)
		require.False(t, answered[0].Time.IsZero())
		vault.NoSecrets("in-the-clear-nowhere")
		require.ErrorContains(t, vault.Leaks("unseen", "kv/audited"), "secret 1 is in the audit file")
	})

	t.Run("the command line", func(t *testing.T) {
		put := vault.Run(world.Command{Args: []string{"write", "kv/cli", "word=-"}, Stdin: "typed"})
		require.Zero(t, put.Code, put.Stderr)
		require.Equal(t, "typed", vault.CLI("read", "-field=word", "kv/cli").Stdout)
		missing := vault.CLI("read", "kv/none")
		require.Equal(t, 2, missing.Code)
		require.Contains(t, missing.Stderr, "No value found")
		refused := vault.Run(world.Command{Args: []string{"read", "kv/cli"}, Token: "wrong"})
		require.Contains(t, refused.Stderr, "permission denied")
	})

	t.Run("people and jobs", func(t *testing.T) { people(t, vault.For(t)) })

	t.Run("it restarts on its data, sealed and unsealed", func(t *testing.T) {
		root.Must("kv/kept", map[string]any{"word": "kept"})
		before := vault.Nodes[0].PID()
		vault.Restart()
		require.NotEqual(t, before, vault.Nodes[0].PID())
		require.Equal(t, "kept", root.Read("kv/kept").Data["word"])

		vault.Seal()
		require.Equal(t, http.StatusServiceUnavailable, root.Read("kv/kept").Status)
		vault.Unseal()
		require.Equal(t, "kept", root.Read("kv/kept").Data["word"])

		require.NoError(t, vault.Nodes[0].Kill())
		require.False(t, vault.Nodes[0].Running())
		_, err := root.Caller.Read(t.Context(), "kv/kept")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		vault.Restart()
		require.Equal(t, "kept", root.Read("kv/kept").Data["word"])
	})
}

func people(t *testing.T, vault *worldtest.Vault) {
	vault.Policy("reader", readAll)
	vault.Root().Must("kv/shared", map[string]any{"word": "shared"})
	users := vault.Users("userpass",
		world.User{Name: "alice", Password: "alice-password", Policies: []string{"reader"}},
		world.User{Name: "bob", Password: "bob-password"})
	require.NotEqual(t, users[0].EntityID, users[1].EntityID)
	require.Contains(t, users[0].Policies, "reader")
	require.Equal(t, http.StatusOK, vault.As(users[0].Token).Read("kv/shared").Status)
	require.Equal(t, http.StatusForbidden, vault.As(users[1].Token).Read("kv/shared").Status)
	vault.NoSecrets(users[0].Token, "alice-password")

	issuer, err := world.NewIssuer("https://ci.example.com")
	require.NoError(t, err)
	accessor, err := vault.EnableJWT(t.Context(), "jwt", issuer)
	require.NoError(t, err)
	require.NoError(t, vault.PutJWTRole(t.Context(), "jwt", "job", map[string]any{
		"user_claim": "repository", "bound_audiences": []string{"vault"}, "token_policies": []string{"reader"},
	}))
	entity, err := vault.PutEntity(t.Context(), world.Entity{
		Name: "web", Metadata: map[string]string{"team": "shop"}, Aliases: map[string]string{accessor: "acme/web"},
	})
	require.NoError(t, err)
	signed, err := issuer.Sign(map[string]any{
		"aud": "vault", "repository": "acme/web", "sub": "job", "exp": time.Now().Add(time.Minute).Unix(),
	})
	require.NoError(t, err)
	job, err := vault.LoginJWT(t.Context(), "jwt", "job", signed)
	require.NoError(t, err)
	require.Equal(t, entity, job.EntityID)

	short, err := vault.CreateToken(t.Context(), api.TokenCreateRequest{Policies: []string{"reader"}, TTL: "1m"})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, vault.As(short.Token).Read("kv/shared").Status)
	_, err = vault.LoginUserpass(t.Context(), "userpass", world.User{Name: "alice", Password: "wrong"})
	require.ErrorContains(t, err, "status 400")
}

func TestPlugin(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "echo")
	require.NoError(t, world.BuildPlugin(t.Context(), "./bootstrap/world/testdata/echo", binary))
	vault := worldtest.StartVault(t, world.Options{Env: []string{"OTHER=1"}, TLS: true})
	echo := vault.Register(world.Plugin{Binary: binary, Env: []string{"ECHO_WORD=hello"}})
	require.Equal(t, "echo", echo.Name)
	require.Equal(t, "v0.0.7", echo.Version)

	wrong := world.Plugin{Binary: binary, Version: "v9.9.9"}
	_, err := vault.Vault.Register(t.Context(), wrong)
	require.ErrorContains(t, err, "version")

	vault.Mount("ci", echo, api.MountConfigInput{MaxLeaseTTL: "1h", AuditNonHMACResponseKeys: []string{"names"}})
	root := vault.Root()
	first := root.Read("ci/process")
	require.Equal(t, "hello", first.Data["word"])
	logged := vault.Audit().Responses().Path("ci/process")[0].Response.Data
	require.Equal(t, []any{"one", "two"}, logged["names"])
	require.Contains(t, logged["note"], "hmac-sha256:")

	pids, err := vault.Nodes[0].PluginPIDs()
	require.NoError(t, err)
	require.Equal(t, []int{int(first.Data["pid"].(float64))}, pids)
	require.Equal(t, pids, vault.KillPlugins())
	second := root.Read("ci/process")
	require.Equal(t, http.StatusOK, second.Status, "Vault starts the plugin anew")
	require.NotEqual(t, first.Data["pid"], second.Data["pid"])

	t.Run("a plugin outlives a server that is killed alone, and nothing else", func(t *testing.T) {
		orphan := int(second.Data["pid"].(float64))
		require.NoError(t, vault.Nodes[0].KillServer())
		require.True(t, world.Alive(orphan))
		vault.Restart()
		require.Equal(t, http.StatusOK, root.Read("ci/process").Status)
		require.True(t, world.Alive(orphan))
		require.NoError(t, vault.Nodes[0].Kill())
		require.False(t, world.Alive(orphan))
	})
}

func TestCloseLeavesNothing(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	vault, err := world.StartVault(t.Context(), world.Options{NoAudit: true})
	require.NoError(t, err)
	server, address := vault.Nodes[0].PID(), vault.Nodes[0].Address
	_, err = vault.Audit()
	require.ErrorContains(t, err, "without")
	require.NoError(t, vault.Close())

	require.False(t, world.Alive(server))
	_, err = http.Get(address)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	left, err := os.ReadDir(temporary)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestStartTellsWhyItFails(t *testing.T) {
	_, err := world.StartVault(t.Context(), world.Options{ExtraConfig: `}`})
	require.ErrorContains(t, err, "node0: vault ended: exit status 1")
	require.ErrorContains(t, err, "error loading configuration", "the end of the log")

	t.Setenv("VAULT_BINARY", filepath.Join(t.TempDir(), "none"))
	_, err = world.StartVault(t.Context(), world.Options{})
	require.ErrorContains(t, err, "VAULT_BINARY")

	t.Setenv("VAULT_BINARY", "")
	t.Setenv("PATH", "")
	t.Chdir(t.TempDir())
	_, err = world.FindVault()
	require.ErrorIs(t, err, world.ErrNoVault)
	require.ErrorContains(t, err, "make vault")
}
