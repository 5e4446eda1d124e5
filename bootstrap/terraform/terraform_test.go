// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package terraform_test holds what can be shown of the module without Vault: its
// form, what its variables refuse, and what it plans to write.
package terraform_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/snippets"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/terraform/moduletest"
)

func open(t *testing.T, dir string) *moduletest.Module {
	t.Helper()
	module, err := moduletest.Open(dir)
	require.NoError(t, err)
	return module
}

func decode(t *testing.T, text string) moduletest.Inputs {
	t.Helper()
	inputs, err := moduletest.Decode(text)
	require.NoError(t, err)
	return inputs
}

func TestFormatted(t *testing.T) {
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("terraform is not on PATH: its formatting is not checked here")
	}
	command := exec.CommandContext(t.Context(), "terraform", "fmt", "-check", "-recursive", "-diff")
	command.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE=")
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
}

// role is JSON of inputs with one role, with changes.
func role(changes string) string {
	fields := map[string]any{
		"config": "github", "stage": "build", "environment": "dev", "owner": "team-web", "purpose": "build",
		"repositories": []string{"web"}, "permissions": []string{"contents=read"},
	}
	if err := json.Unmarshal([]byte("{"+changes+"}"), &fields); err != nil {
		panic(err)
	}
	text, err := json.Marshal(map[string]any{"roles": map[string]any{"build-web": fields}})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestWhatVariablesRefuse(t *testing.T) {
	module := open(t, ".")
	for inputs, message := range map[string]string{
		`{"mount": "/ci"}`: "without a slash at either end",
		`{"mount": "ci/"}`: "without a slash at either end",

		`{"configs": {"x": {"provider": "bitbucket"}}}`:                                          "github, gitlab or gitea",
		`{"configs": {"x": {"provider": "github"}}}`:                                             "needs app_id",
		`{"configs": {"x": {"provider": "gitea", "base_url": "https://git.example.com"}}}`:       "needs username",
		`{"configs": {"x": {"provider": "gitlab", "base_url": "http://gitlab.example.com"}}}`:    "is https",
		`{"configs": {"x": {"provider": "gitlab", "base_url": "http://localhost.example.com"}}}`: "is https",
		`{"configs": {"x": {"app_id": "1"}}}`:                                                    `"provider" is required`,

		`{"stages": {"x": {"github": ["contents"]}}}`:         "resource=level",
		`{"stages": {"x": {"gitlab": ["repository=owner"]}}}`: "resource=level",

		`{"environments": {"x": {"production": true, "required_approvals": 0}}}`:   "at least one approval",
		`{"environments": {"x": {"production": true, "require_identity": false}}}`: "requires identity",
		`{"environments": {"x": {"ttl": 60, "max_ttl": 30}}}`:                      "not longer than its max_ttl",
		`{"environments": {"x": {"ttl": "15m"}}}`:                                  "a number is required",

		`{"issuers": {"x": {"preset": "github-actions", "audiences": []}}}`:                               "at least one audience",
		`{"issuers": {"x": {"preset": "jenkins", "audiences": ["v"]}}}`:                                   "preset is github-actions",
		`{"issuers": {"x": {"audiences": ["v"]}}}`:                                                        "needs a preset or a key source",
		`{"issuers": {"x": {"audiences": ["v"], "jwks_url": "https://a", "discovery_url": "https://b"}}}`: "one key source",
		`{"issuers": {"x": {"preset": "gitlab"}}}`:                                                        `"audiences" is required`,
		role(`"owner": " "`):                                    "owner and a purpose",
		role(`"repositories": []`):                              "none never means all",
		role(`"permissions": []`):                               "none never means all",
		role(`"permissions": ["contents:read"]`):                "resource=level",
		role(`"bound_claims": ["ref=main"]`):                    "needs an issuer",
		role(`"single_use": true`):                              "needs an issuer",
		role(`"issuer": "actions", "bound_claims": ["main"]`):   "claim=pattern",
		role(`"ttl": 60, "max_ttl": 30`):                        "not longer than its max_ttl",
		role(`"valid_until": "2026-12-31"`):                     "RFC 3339 in UTC",
		role(`"valid_until": "2026-12-31T23:59:59+02:00"`):      "RFC 3339 in UTC",
		`{"policies": {"x": {}}}`:                               "at least one path",
		`{"policies": {"x": {"/sys/raw": ["read"]}}}`:           "below the mount",
		`{"policies": {"x": {"a\" { } path \"sys": ["read"]}}}`: "neither quotes",
		`{"policies": {"x": {"creds/y": ["sudo"]}}}`:            "A capability is",
		`{"colour": "red"}`:                                     "there is no variable colour",
	} {
		_, err := module.Plan(decode(t, inputs))
		require.ErrorContains(t, err, message, inputs)
	}
}

func TestWhatVariablesAllow(t *testing.T) {
	module := open(t, ".")
	for _, inputs := range []string{
		`{}`,
		`{"mount": "teams/ci"}`,
		`{"configs": {"x": {"provider": "gitlab"}, "y": {"provider": "gitlab", "base_url": "http://127.0.0.1:8080"}}}`,
		`{"environments": {"x": {"production": true, "required_approvals": 2, "require_identity": true}}}`,
		`{"environments": {"x": {"ttl": 60, "max_ttl": 0}}}`,
		`{"issuers": {"x": {"preset": "gitlab", "jwks_url": "https://a", "audiences": ["v"]}}}`,
		role(`"issuer": "actions", "bound_claims": ["ref=main"], "single_use": true`),
		role(`"valid_from": "2026-01-01T00:00:00Z"`),
		`{"policies": {"x": {"creds/build-any/{{identity.entity.aliases.auth_jwt_1.name}}": ["read"]}}}`,
	} {
		_, err := module.Plan(decode(t, inputs))
		require.NoError(t, err, inputs)
	}
}

func TestASecretNeverGetsIn(t *testing.T) {
	plan, err := open(t, ".").Plan(decode(t, `{"configs": {
		"github": {"provider": "github", "app_id": "1", "private_key": "s3cret"},
		"gitlab": {"provider": "gitlab", "token": "s3cret"},
		"gitea":  {"provider": "gitea", "base_url": "https://git.example.com", "username": "ci", "password": "s3cret"}}}`))
	require.NoError(t, err)
	require.Len(t, plan, 3)
	for _, resource := range plan {
		require.NotContains(t, resource.Data, "s3cret", "Terraform drops what the type of a variable does not have")
	}
}

func TestWhatIsLeftOutIsNotWritten(t *testing.T) {
	plan, err := open(t, ".").Plan(decode(t, role(`"ttl": null, "max_ttl": 0, "bound_cidrs": [], "disabled": false`)))
	require.NoError(t, err)
	require.Equal(t, []moduletest.Resource{{
		Address: `vault_generic_endpoint.role["build-web"]`, Path: "ci/roles/build-web", IgnoreAbsent: true,
		Data: `{"bound_cidrs":[],"config":"github","disabled":false,"environment":"dev","max_ttl":0,"owner":"team-web",` +
			`"permissions":["contents=read"],"purpose":"build","repositories":["web"],"stage":"build"}`,
	}}, plan)
}

func TestPolicyText(t *testing.T) {
	plan, err := open(t, ".").Plan(decode(t, `{"mount": "teams/ci", "policies": {"web": {"creds/a": ["read"], "roles/+": ["read", "list"]}}}`))
	require.NoError(t, err)
	require.Equal(t, "sys/policies/acl/web", plan[0].Path)
	text := `path \"teams/ci/creds/a\" {\n  capabilities = [\"read\"]\n}\n\npath \"teams/ci/roles/+\" {\n  capabilities = [\"read\",\"list\"]\n}\n`
	require.Equal(t, `{"policy":"`+text+`"}`, plan[0].Data)
}

func TestOutputs(t *testing.T) {
	outputs, err := open(t, ".").Outputs(decode(t, `{
		"configs": {"github": {"provider": "github", "app_id": "1", "organization": "acme", "max_concurrency": 5}, "gitlab": {"provider": "gitlab", "ca_cert": "-----BEGIN CERTIFICATE-----"}},
		"roles": {"build-web": {"config": "github", "stage": "build", "environment": "dev", "owner": "team-web", "purpose": "build",
			"repositories": ["web"], "permissions": ["contents=read"]}},
		"policies": {"ci-web": {"creds/build-web": ["read"]}}}`))
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"creds_paths": `{"build-web":"ci/creds/build-web"}`,
		"owners":      `{"team-web":["build-web"]}`,
		"policies":    `["ci-web"]`,
		"key_commands": `{"github":"vault write ci/config/github app_id='1' organization='acme' provider='github' private_key=@key.pem",` +
			`"gitlab":"vault write ci/config/gitlab provider='gitlab' ca_cert=@ca.pem token=-"}`,
	}, outputs)
}

// TestEveryFieldIsThere holds the variables against the fields that the engine
// takes: all of them, and never a secret.
func TestEveryFieldIsThere(t *testing.T) {
	module := open(t, ".")
	config := logical.TestBackendConfig()
	config.StorageView, config.System = &logical.InmemStorage{}, logical.TestSystemView()
	engine, err := backend.New(t.Context(), config, time.Now)
	require.NoError(t, err)
	t.Cleanup(func() { engine.Cleanup(context.Background()) })
	for variable, endpoint := range map[string]string{
		"configs": "config", "stages": "stages", "environments": "environments", "issuers": "issuers", "roles": "roles",
	} {
		at := slices.IndexFunc(engine.Paths, func(p *framework.Path) bool { return strings.HasPrefix(p.Pattern, endpoint+"/(?P<name>") })
		require.GreaterOrEqual(t, at, 0, endpoint)
		var fields []string
		for name, field := range engine.Paths[at].Fields {
			if secret := field.DisplayAttrs != nil && field.DisplayAttrs.Sensitive; name != "name" && !secret {
				fields = append(fields, name)
			}
		}
		require.ElementsMatch(t, fields, module.Fields(variable), variable)
	}
}

func TestInstructions(t *testing.T) { snippets.Check(t, "README.md") }
