// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/terraform/moduletest"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world/worldtest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// terraform does to Vault what Terraform and hashicorp/vault do: the module's own
// files say what is written, and state is what the provider keeps of each resource.
type terraform struct {
	t     *testing.T
	root  *worldtest.Caller
	state map[string]moduletest.Resource
}

// refresh reads a resource as the provider does: found or not, and with Data as the
// provider compares it. Of vault_generic_endpoint with ignore_absent_fields, and of
// vault_policy, those are the fields that were written, with the values that were read.
func (tf *terraform) refresh(resource moduletest.Resource) (moduletest.Resource, bool) {
	tf.t.Helper()
	require.True(tf.t, resource.IgnoreAbsent, resource.Address)
	answer := tf.root.Read(resource.Path)
	if answer.Status == http.StatusNotFound {
		return resource, false
	}
	require.Equal(tf.t, http.StatusOK, answer.Status, "%s: %v", resource.Path, answer.Errors)
	var read struct{ Data map[string]any }
	decode(tf.t, answer.Body, &read)
	kept := map[string]any{}
	decode(tf.t, []byte(resource.Data), &kept)
	for field := range kept {
		if value, there := read.Data[field]; there {
			kept[field] = value
		}
	}
	text, err := json.Marshal(kept)
	require.NoError(tf.t, err)
	resource.Data = string(text)
	return resource, true
}

// decode reads JSON as the provider's client does: numbers keep their spelling.
func decode(t *testing.T, text []byte, into any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(into))
}

// changes are the planned resources that Terraform would write: those that are not
// there, and those that read back as something else.
func (tf *terraform) changes(plan []moduletest.Resource) []moduletest.Resource {
	tf.t.Helper()
	var changed []moduletest.Resource
	for _, planned := range plan {
		known, applied := tf.state[planned.Address]
		if applied {
			known, applied = tf.refresh(known)
		}
		if !applied || known.Data != planned.Data {
			changed = append(changed, planned)
		}
	}
	return changed
}

// write is what the provider sends for a resource, new or changed.
func (tf *terraform) write(resource moduletest.Resource) world.Answer {
	tf.t.Helper()
	return tf.root.Do(world.Request{Method: http.MethodPut, Path: resource.Path, Body: []byte(resource.Data)})
}

// apply writes what has changed, in order, and returns the addresses.
func (tf *terraform) apply(plan []moduletest.Resource) []string {
	tf.t.Helper()
	var written []string
	for _, resource := range tf.changes(plan) {
		require.NoError(tf.t, tf.write(resource).Failure(), resource.Address)
		read, found := tf.refresh(resource)
		require.True(tf.t, found, resource.Address)
		tf.state[resource.Address] = read
		written = append(written, resource.Address)
	}
	return written
}

func TestTerraform(t *testing.T) {
	s := newStand(t, world.Options{}, githubtest.Options{})
	for _, path := range []string{"ci/roles/build-dev", "ci/environments/dev", "ci/config/github"} {
		require.Equal(t, 204, s.root.Delete(path).Status, path)
	}
	repository, err := world.Root()
	require.NoError(t, err)
	folder := filepath.Join(repository, "bootstrap", "terraform")
	module, err := moduletest.Open(folder)
	require.NoError(t, err)
	example, err := moduletest.Open(filepath.Join(folder, "examples", "acme"))
	require.NoError(t, err)
	actions := identitytest.New(t, identitytest.Options{Path: identitytest.GitHubPath})
	given, err := moduletest.Decode(fmt.Sprintf(`{"github_app_id": "%d", "github_base_url": %q, "github_actions_issuer": %q}`,
		s.app.ID, s.github.URL(), actions.URL()))
	require.NoError(t, err)
	inputs, err := example.Call("ci", given)
	require.NoError(t, err)
	planFor := func(changes string) []moduletest.Resource {
		changed, err := moduletest.Decode(changes)
		require.NoError(t, err)
		all := moduletest.Inputs{}
		for name, value := range inputs {
			all[name] = value
		}
		for name, value := range changed {
			all[name] = value
		}
		plan, err := module.Plan(all)
		require.NoError(t, err)
		return plan
	}
	plan := planFor(`{}`)
	tf := &terraform{t: t, root: s.root, state: map[string]moduletest.Resource{}}

	t.Run("without the key by hand the apply says what is missing", func(t *testing.T) {
		require.Equal(t, "ci/config/github", plan[0].Path)
		refused := tf.write(plan[0])
		require.Equal(t, 400, refused.Status)
		require.ErrorContains(t, refused.Failure(), "private_key")
	})

	fingerprint := writeKey(t, s, module, inputs)

	t.Run("apply writes all, and the second plan is empty", func(t *testing.T) {
		require.Len(t, tf.apply(plan), len(plan))
		require.Empty(t, tf.changes(plan))
		require.Empty(t, tf.apply(plan))
	})

	t.Run("the key stays what it was, and out of the state", func(t *testing.T) {
		require.Equal(t, fingerprint, s.root.Read("ci/config/github").Data["private_key_sha256"])
		state, err := json.Marshal(tf.state)
		require.NoError(t, err)
		require.NotContains(t, string(state), "private_key")
		require.NotContains(t, string(state), "PRIVATE KEY")
	})

	credential := s.root.Read("ci/creds/build-web")
	require.Equal(t, 200, credential.Status, credential.Errors)

	t.Run("what was changed by hand is found and put right", func(t *testing.T) {
		require.Equal(t, 204, s.root.Patch("ci/roles/build-web", map[string]any{"ttl": 1200}).Status)
		require.Equal(t, 204, s.root.Delete("ci/roles/build-any").Status)
		require.Equal(t, 204, s.root.Write("sys/policies/acl/ci-build-web", map[string]any{"policy": `path "*" { capabilities = ["sudo"] }`}).Status)
		require.ElementsMatch(t, []string{
			`vault_policy.this["ci-build-web"]`, `vault_generic_endpoint.role["build-any"]`, `vault_generic_endpoint.role["build-web"]`,
		}, tf.apply(plan))
		require.Empty(t, tf.changes(plan))
		require.EqualValues(t, 600, s.root.Read("ci/roles/build-web").Data["ttl"])
	})

	t.Run("a field that is taken out goes back to its default", func(t *testing.T) {
		without := planFor(`{"environments": {
			"dev": {"description": "Where it may break", "ttl": 900},
			"prod": {"description": "Where customers are", "production": true, "max_ttl": 1800, "bound_claims": ["ref_protected=true"],
				"allowed_stages": ["release", "deploy"], "allowed_roles": ["release-*", "deploy-*"]}}}`)
		require.Equal(t, []string{`vault_generic_endpoint.environment["dev"]`}, tf.apply(without))
		require.EqualValues(t, 0, s.root.Read("ci/environments/dev").Data["max_ttl"])
		require.Len(t, tf.apply(plan), 1)
	})

	t.Run("the order of depends_on is needed", func(t *testing.T) {
		for _, path := range []string{"ci/config/github", "ci/environments/dev", "ci/issuers/actions"} {
			require.Equal(t, 409, s.root.Delete(path).Status, path)
		}
	})

	t.Run("destroy is clean", func(t *testing.T) {
		config := plan[0]
		for _, resource := range slices.Backward(plan[1:]) {
			require.Equal(t, 204, s.root.Delete(resource.Path).Status, resource.Path)
		}
		require.Equal(t, 409, s.root.Delete(config.Path).Status, "a live token needs the key to be revoked with")
		require.EqualValues(t, 1, s.root.Write("ci/revoke", map[string]any{"config": "github"}).Data["revoked"])
		require.NotEqual(t, githubtest.Live, s.github.StateOf(credential.Data["token"].(string)))
		require.Equal(t, 204, s.root.Delete(config.Path).Status)

		for _, resource := range plan {
			_, there := tf.refresh(resource)
			require.Equal(t, resource.Path == "ci/stages/build", there, "%s: a built-in stage comes back, nothing else stays", resource.Path)
			require.Equal(t, 204, s.root.Delete(resource.Path).Status, "deleting again is no error")
		}
		require.Contains(t, s.root.Read("ci/stages/build").Data["github"], "checks=write")
	})
}

// writeKey runs the command that the module's output names for whoever holds the
// key, and returns the fingerprint of what was written.
func writeKey(t *testing.T, s *stand, module *moduletest.Module, inputs moduletest.Inputs) any {
	t.Helper()
	outputs, err := module.Outputs(inputs)
	require.NoError(t, err)
	var commands map[string]string
	require.NoError(t, json.Unmarshal([]byte(outputs["key_commands"]), &commands))
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key.pem"), []byte(s.app.PrivateKeyPEM()), 0o600))
	command := exec.CommandContext(t.Context(), "bash", "-c", commands["github"])
	command.Dir = dir
	command.Env = append(s.ClientEnv(), "VAULT_TOKEN="+s.RootToken(), "HOME="+dir, "PATH="+filepath.Dir(s.Binary())+":"+os.Getenv("PATH"))
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	fingerprint := s.root.Read("ci/config/github").Data["private_key_sha256"]
	require.NotEmpty(t, fingerprint)
	return fingerprint
}
