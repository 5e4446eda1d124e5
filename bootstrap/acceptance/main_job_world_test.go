// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// mintPath matches the request with which the engine has GitHub make a token.
const mintPath = "POST /app/installations/*/access_tokens"

// mainJob is a stand that remembers each secret that went through it. When its test
// ends, none of them may be in the audit file or in a log.
type mainJob struct {
	*stand
	mu      sync.Mutex
	secrets []string
}

func newMainJob(t *testing.T) *mainJob {
	t.Helper()
	j := &mainJob{stand: newStand(t, world.Options{}, githubtest.Options{})}
	j.keep(middle(j.app.PrivateKeyPEM()))
	t.Cleanup(func() { j.NoSecrets(j.secrets...) })
	return j
}

// middle is a line of a key that is the same however its line ends are written.
func middle(key string) string { return strings.Split(key, "\n")[5] }

func (j *mainJob) keep(secret string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.secrets = append(j.secrets, secret)
}

// credential is an answer of creds/ with what tests look at most.
type credential struct {
	world.Answer
	token string
	id    string
}

// credential asks for a credential that has to come.
func (j *mainJob) credential(t *testing.T, path string, body map[string]any) credential {
	t.Helper()
	answer := j.For(t).Root().Write("ci/creds/"+path, body)
	require.Equal(t, http.StatusOK, answer.Status, answer.Errors)
	token := answer.Data["token"].(string)
	j.keep(token)
	return credential{answer, token, answer.Data["token_id"].(string)}
}

// github App's config with changes.
func (j *mainJob) config(changes map[string]any) map[string]any {
	config := map[string]any{
		"provider": "github", "base_url": j.github.URL(), "app_id": j.app.ClientID,
		"private_key": j.app.PrivateKeyPEM(), "organization": "acme",
	}
	maps.Copy(config, changes)
	maps.DeleteFunc(config, func(_ string, value any) bool { return value == nil })
	return config
}

// dies holds that a token dies at the platform.
func (j *mainJob) dies(t *testing.T, token string, within time.Duration) {
	t.Helper()
	eventually(t, within, "the token is dead at the platform", func() bool { return j.github.StateOf(token) == githubtest.Revoked })
}

// mints counts the requests for tokens that GitHub has seen.
func (j *mainJob) mints() int {
	return j.github.Counts()["POST /app/installations/{installation_id}/access_tokens"]
}

// leaseEnd is when Vault itself will end a lease.
func (j *mainJob) leaseEnd(t *testing.T, lease string) time.Time {
	t.Helper()
	answer := j.For(t).Root().Write("sys/leases/lookup", map[string]any{"lease_id": lease})
	require.NoError(t, answer.Failure())
	end, err := time.Parse(time.RFC3339Nano, answer.Data["expire_time"].(string))
	require.NoError(t, err)
	return end
}

// recorded reads a token's record.
func (j *mainJob) recorded(t *testing.T, id string) map[string]any {
	t.Helper()
	answer := j.For(t).Root().Read("ci/tokens/" + id)
	require.NoError(t, answer.Failure())
	return answer.Data
}
