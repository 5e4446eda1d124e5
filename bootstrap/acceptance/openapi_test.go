// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world/worldtest"

	"github.com/hashicorp/vault/api"
)

// The document that Vault generates is what clients, the UI and the CLI's help are
// made from: nothing may be missing in it.
func TestOpenAPI(t *testing.T) {
	vault := worldtest.StartVault(t, world.Options{})
	vault.Mount("ci/", vault.Register(worldtest.BuildPlugin(t)), api.MountConfigInput{})
	answer := vault.Root().Read("sys/internal/specs/openapi")
	require.Equal(t, http.StatusOK, answer.Status)
	document, err := openapi3.NewLoader().LoadFromData(answer.Body)
	require.NoError(t, err)

	ids := map[string]string{}
	var paths []string
	for path, item := range document.Paths.Map() {
		if !strings.HasPrefix(path, "/ci/") {
			continue
		}
		paths = append(paths, path)
		require.NotEmpty(t, item.Description, path)
		for _, parameter := range item.Parameters {
			require.NotEmpty(t, parameter.Value.Description, "%s: %s", path, parameter.Value.Name)
		}
		for method, operation := range item.Operations() {
			where := method + " " + path
			require.NotEmpty(t, operation.Summary, where)
			require.NotEmpty(t, operation.Description, where)
			require.True(t, strings.HasPrefix(operation.OperationID, "ci-"), "%s: %s", where, operation.OperationID)
			require.Empty(t, ids[operation.OperationID], "%s: %s is another's name", where, operation.OperationID)
			ids[operation.OperationID] = where
			hasSchemas(t, where, document, operation)
		}
	}
	slices.Sort(paths)
	require.Equal(t, contractPaths, paths)

	t.Run("a read of creds can be narrowed by query", func(t *testing.T) {
		var names []string
		for _, parameter := range document.Paths.Value("/ci/creds/{role}").Get.Parameters {
			names = append(names, parameter.Value.Name)
		}
		require.ElementsMatch(t, []string{"repositories", "permissions", "ttl"}, names, "and never by a proof")
	})
	t.Run("the help of each path", func(t *testing.T) {
		for _, path := range []string{"ci", "ci/creds/x", "ci/config/x", "ci/roles/x", "ci/events"} {
			help := vault.CLI("path-help", path)
			require.Zero(t, help.Code, "%s: %s", path, help.Stderr)
			require.Greater(t, len(help.Stdout), 100, path)
		}
	})
}

// hasSchemas holds that an operation's bodies are described, field by field. Vault
// loses the references in the document of an external plugin; the schemas that they
// are to are there, by the operation's name.
func hasSchemas(t *testing.T, where string, document *openapi3.T, operation *openapi3.Operation) {
	t.Helper()
	require.NotEmpty(t, operation.Responses.Map(), where)
	for status, response := range operation.Responses.Map() {
		require.NotEmpty(t, response.Value.Description, where)
		switch {
		case where == "GET /ci/metrics":
			require.Equal(t, "Prometheus text.", *response.Value.Description)
		case status != "204":
			require.NotEmpty(t, response.Value.Content, "%s: %s has no body", where, status)
			describesFields(t, where, document, operation, "Response")
		}
	}
	if operation.RequestBody != nil {
		describesFields(t, where, document, operation, "Request")
	}
	for _, parameter := range operation.Parameters {
		require.NotEmpty(t, parameter.Value.Description, "%s: %s", where, parameter.Value.Name)
	}
}

func describesFields(t *testing.T, where string, document *openapi3.T, operation *openapi3.Operation, of string) {
	t.Helper()
	name := of
	words := strings.Split(operation.OperationID, "-")
	for _, word := range slices.Backward(words) {
		name = strings.ToUpper(word[:1]) + word[1:] + name
	}
	schema := document.Components.Schemas[name]
	if schema == nil && of == "Response" && strings.HasSuffix(where, "/") {
		return // Vault's own schema of all lists
	}
	require.NotNil(t, schema, "%s: %s", where, name)
	require.NotEmpty(t, schema.Value.Properties, "%s: %s", where, name)
	for field, described := range schema.Value.Properties {
		require.NotEmpty(t, described.Value.Description, "%s: %s", name, field)
		require.NotEmpty(t, described.Value.Type, "%s: %s", name, field)
	}
}

// contractPaths are all that the engine offers.
var contractPaths = []string{
	"/ci/approvals/", "/ci/approvals/{role}", "/ci/approvals/{role}/", "/ci/approvals/{role}/{id}", "/ci/approvals/{role}/{id}/approve", "/ci/approvals/{role}/{id}/deny",
	"/ci/config/", "/ci/config/{name}", "/ci/creds/{role}", "/ci/creds/{role}/{repository}",
	"/ci/environments/", "/ci/environments/{name}", "/ci/events", "/ci/explain/{role}", "/ci/exposed", "/ci/info", "/ci/introspect",
	"/ci/issuers/", "/ci/issuers/{name}", "/ci/metrics", "/ci/report", "/ci/revoke", "/ci/roles/", "/ci/roles/{name}", "/ci/rotate-root/{name}",
	"/ci/settings", "/ci/stages/", "/ci/stages/{name}", "/ci/tokens/", "/ci/tokens/{id}", "/ci/tokens/{id}/revoke", "/ci/tokens/{id}/use",
}
