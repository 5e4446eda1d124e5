// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea/giteatest"
)

const publish = `
git clone -q "$1" web
cd web
echo built >artifact
git add artifact
git -c user.name=ci -c user.email=ci@example.com commit -qm "Add the artifact"
git push -q origin HEAD
cat .git/config
`

// pushToGitea is a release job on a real Gitea: git gets its credential from
// citoken, and the account has no token left afterwards.
func (w *workplace) pushToGitea(t *testing.T, companion string) {
	server := giteatest.New(t)
	require.NoError(t, server.CreateOrganization(t.Context(), "acme"))
	require.NoError(t, server.CreateRepository(t.Context(), "acme", "web"))
	w.root.Must("ci/config/gitea", map[string]any{
		"provider": "gitea", "base_url": server.URL, "username": server.Admin, "password": server.Password,
	})
	w.role("release-web", map[string]any{
		"config": "gitea", "stage": "release", "repositories": []string{"acme/web"}, "permissions": []string{"repository=write"},
	})
	w.Policy("release", w.policy("pipeline", "release-web"))
	job, err := w.CreateToken(t.Context(), api.TokenCreateRequest{Policies: []string{"release"}, TTL: "10m"})
	require.NoError(t, err)

	command := exec.CommandContext(t.Context(), filepath.Join(companion, "citoken"), "exec", "-role", "release-web", "-git",
		"-action", "push", "--", "sh", "-e", "-c", publish, "publish", server.CloneURL("acme", "web"))
	command.Dir = t.TempDir()
	command.Env = append(w.ClientEnv(), "VAULT_TOKEN="+job.Token, "PATH="+os.Getenv("PATH"), "HOME="+command.Dir, "GIT_CONFIG_NOSYSTEM=1")
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	require.NotContains(t, string(output), "credential", "git keeps nothing of it")

	var file struct {
		Name string `json:"name"`
	}
	require.NoError(t, server.API(t.Context(), "GET", "/repos/acme/web/contents/artifact", nil, &file))
	require.Equal(t, "artifact", file.Name)
	record := w.lastRecord("release-web")
	require.Equal(t, "revoked", record["status"])
	// What citoken reported; the server may have seen the token later still.
	require.GreaterOrEqual(t, record["uses"], 1.0)
	var tokens []any
	account := record["username"].(string)
	eventually(t, time.Minute, "no token at the server", func() bool {
		require.NoError(t, server.API(t.Context(), "GET", "/users/"+account+"/tokens", nil, &tokens))
		return len(tokens) == 0
	})
	require.False(t, strings.Contains(string(output), job.Token))
}

// lastRecord is the record of the token that a role gave out last.
func (w *workplace) lastRecord(role string) map[string]any {
	w.t.Helper()
	var id string
	for _, event := range w.allEvents() {
		if event["type"] == "issued" && event["role"] == role {
			id = event["token_id"].(string)
		}
	}
	record := w.root.Read("ci/tokens/" + id)
	require.NoError(w.t, record.Failure())
	return record.Data
}
