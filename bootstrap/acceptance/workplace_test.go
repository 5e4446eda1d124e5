// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

const (
	vaultAudience = "https://vault.example.com"
	actionsBearer = "runner-may-ask-for-id-tokens"
)

// workplace is a stand with those who work at it: jobs that log in with their own
// identity, machines with an AppRole, each with the policy that bootstrap/mount has
// for it.
type workplace struct {
	*stand
	issuer *world.Issuer
	// variables of the environment of whoever works here.
	variables []string

	mu      sync.Mutex
	secrets []string
}

func newWorkplace(t *testing.T) *workplace {
	t.Helper()
	w := &workplace{stand: newStand(t, world.Options{}, githubtest.Options{})}
	var err error
	w.issuer, err = world.NewIssuer("https://token.actions.githubusercontent.com")
	require.NoError(t, err)
	w.root.Must("ci/issuers/actions", map[string]any{
		"preset": "github-actions", "public_keys": []string{w.issuer.PublicKeyPEM()}, "audiences": []string{vaultAudience},
	})
	w.role("build-web", map[string]any{"issuer": "actions", "bound_claims": []string{"repository=acme/web"}, "ttl": 900})
	w.Policy("pipeline", w.policy("pipeline", "build-web")+w.policy("pipeline", "build-dev")+w.policy("pipeline", "build-any"))
	w.Policy("ci-pipeline-build-any", w.policy("pipeline", "build-any"))
	w.Policy("exposed", w.policy("exposed", ""))
	w.Policy("audit", w.policy("audit", ""))

	for mount, policy := range map[string]string{"jwt": "pipeline", "github-actions": "repository"} {
		accessor, err := w.EnableJWT(t.Context(), mount, w.issuer)
		require.NoError(t, err)
		if policy == "repository" {
			both := w.policy(policy, "build-web") + w.policy(policy, "build-any")
			w.Policy(policy, strings.ReplaceAll(both, "@accessor@", accessor))
		}
		require.NoError(t, w.PutJWTRole(t.Context(), mount, "job", map[string]any{
			"bound_audiences": []string{vaultAudience}, "user_claim": "repository",
			"bound_claims": map[string]any{"repository_owner": "acme"}, "token_policies": []string{policy}, "token_ttl": "1m",
		}))
	}
	_, err = w.EnableAuth(t.Context(), "approle", "approle")
	require.NoError(t, err)
	w.variables = append(w.variables, "GITHUB="+w.github.URL(), "WEB_JOB="+w.job("acme/web", vaultAudience), "OTHER_JOB="+w.job("acme/api", vaultAudience))
	for name, policy := range map[string]string{"RUNNER": "pipeline", "SCANNER": "exposed", "SIEM": "audit"} {
		id, secret := w.appRole(strings.ToLower(name), policy)
		w.variables = append(w.variables, name+"_ROLE_ID="+id, name+"_SECRET_ID="+secret)
		w.secrets = append(w.secrets, secret)
	}
	runner, err := w.CreateToken(t.Context(), api.TokenCreateRequest{Policies: []string{"pipeline"}, TTL: "1h"})
	require.NoError(t, err)
	w.variables = append(w.variables, "RUNNER_TOKEN="+runner.Token, "ACTIONS_URL="+w.actions(), "ACTIONS_BEARER="+actionsBearer)
	return w
}

// policy is one of bootstrap/mount, for a role.
func (w *workplace) policy(name, role string) string {
	w.t.Helper()
	root, err := world.Root()
	require.NoError(w.t, err)
	text, err := os.ReadFile(filepath.Join(root, "bootstrap", "mount", "policies", name+".hcl"))
	require.NoError(w.t, err)
	return strings.NewReplacer("@mount@", "ci", "@role@", role).Replace(string(text))
}

// job is the identity of a job of a repository.
func (w *workplace) job(repository, audience string) string {
	w.t.Helper()
	owner, _, _ := strings.Cut(repository, "/")
	now := time.Now()
	token, err := w.issuer.Sign(map[string]any{
		"aud": audience, "sub": "repo:" + repository + ":ref:refs/heads/main", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(),
		"repository": repository, "repository_owner": owner, "repository_id": "42", "repository_owner_id": "65",
		"ref": "refs/heads/main", "sha": strings.Repeat("ab", 20), "run_id": "4711", "run_attempt": "1", "actor": "octocat",
		"workflow_ref": repository + "/.github/workflows/ci.yml@refs/heads/main", "runner_environment": "github-hosted", "event_name": "push",
	})
	require.NoError(w.t, err)
	return token
}

// actions is the endpoint at which a runner of GitHub Actions makes identities.
func (w *workplace) actions() string {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+actionsBearer || r.URL.Query().Get("api-version") == "" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(rw).Encode(map[string]string{"value": w.job("acme/web", r.URL.Query().Get("audience"))})
	}))
	w.t.Cleanup(server.Close)
	return server.URL + "/idtoken?api-version=2.0"
}

// appRole makes a machine's login.
func (w *workplace) appRole(name, policy string) (roleID, secretID string) {
	w.t.Helper()
	w.root.Must("auth/approle/role/"+name, map[string]any{"token_policies": []string{policy}, "token_ttl": "1m"})
	id := w.root.Read("auth/approle/role/" + name + "/role-id")
	secret := w.root.Must("auth/approle/role/"+name+"/secret-id", nil)
	return id.Data["role_id"].(string), secret.Data["secret_id"].(string)
}

// seen are the secrets that must be in no log and in no audit file.
func (w *workplace) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.secrets
}

// digestOf is how ledger and events name a token.
func digestOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// allEvents are all events of the mount, oldest first.
func (w *workplace) allEvents() []map[string]any {
	var all []map[string]any
	for after := ""; ; {
		answer, err := w.root.Caller.Write(w.t.Context(), "ci/events", map[string]any{"after": after, "limit": 1000})
		if err != nil || answer.Failure() != nil || len(answer.Data["events"].([]any)) == 0 {
			return all
		}
		for _, event := range answer.Data["events"].([]any) {
			var facts map[string]any
			if json.Unmarshal([]byte(event.(string)), &facts) == nil {
				all = append(all, facts)
			}
		}
		after = answer.Data["next"].(string)
	}
}

// idOf finds the record of a token by its events.
func (w *workplace) idOf(secret string) string {
	digest := digestOf(secret)
	for _, event := range w.allEvents() {
		if event["token_sha256"] == digest {
			return event["token_id"].(string)
		}
	}
	return ""
}
