// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rhysd/actionlint"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// The package that ships GitLab's own schema of .gitlab-ci.yml, and its SHA-512.
const (
	gitlabSchema       = "gitlab-ci-local@4.64.1"
	gitlabSchemaSHA512 = "00c48987752dfcb683ad6bfcf77f9f9676adf04f7fd870588229cb41932be377c71fa1a9ac380177c5623cd8f09310e0e8ce539a4d1160b5c6e68b9a8dcb385b"
)

// TestPipelinesLint holds the files against what their platforms accept. Each lint
// is shown a fault first.
func TestPipelinesLint(t *testing.T) {
	t.Run("GitHub Actions", func(t *testing.T) {
		shellcheck, _ := exec.LookPath("shellcheck") // the linter does without
		text, err := os.ReadFile(pipelineFile(t, "github-actions.yml"))
		require.NoError(t, err)
		lint := func(text []byte) []*actionlint.Error {
			linter, err := actionlint.NewLinter(&bytes.Buffer{}, &actionlint.LinterOptions{Shellcheck: shellcheck})
			require.NoError(t, err)
			faults, err := linter.Lint("github-actions.yml", text, nil)
			require.NoError(t, err)
			return faults
		}
		require.NotEmpty(t, lint(bytes.ReplaceAll(text, []byte("id-token: write"), []byte("id_token: write"))))
		require.NotEmpty(t, lint(bytes.ReplaceAll(text, []byte("steps.vault.outputs"), []byte("steps.nowhere.outputs"))))
		require.Empty(t, lint(text))
	})
	t.Run("GitLab CI", func(t *testing.T) {
		schema := fetchGitLabSchema(t)
		text, err := os.ReadFile(pipelineFile(t, "gitlab-ci.yml"))
		require.NoError(t, err)
		validate := func(text []byte) error {
			var file any
			require.NoError(t, yaml.Unmarshal(text, &file))
			return schema.Validate(file)
		}
		require.Error(t, validate(bytes.ReplaceAll(text, []byte("aud:"), []byte("audience:"))))
		require.Error(t, validate(bytes.ReplaceAll(text, []byte("after_script:"), []byte("finally_script:"))))
		require.NoError(t, validate(text))
	})
	t.Run("shell", func(t *testing.T) {
		shellcheck, err := exec.LookPath("shellcheck")
		if err != nil {
			t.Skip("shellcheck is not on PATH")
		}
		output, err := exec.CommandContext(t.Context(), shellcheck, pipelineFile(t, "step.sh"), pipelineFile(t, "approval.sh")).CombinedOutput()
		require.NoError(t, err, string(output))
	})
}

// fetchGitLabSchema compiles the schema from its package.
func fetchGitLabSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	for _, tool := range []string{"npm", "node", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("GitLab's schema comes in an npm package, and there is no %s", tool)
		}
	}
	folder := t.TempDir()
	run := func(name string, arguments ...string) ([]byte, error) {
		command := exec.CommandContext(t.Context(), name, arguments...)
		command.Dir = folder
		return command.Output()
	}
	if _, err := run("npm", "pack", "--silent", gitlabSchema); err != nil {
		t.Skipf("npm cannot fetch %s, which ships GitLab's schema: %v", gitlabSchema, err)
	}
	packed, err := os.ReadFile(filepath.Join(folder, "gitlab-ci-local-4.64.1.tgz"))
	require.NoError(t, err)
	sum := sha512.Sum512(packed)
	require.Equal(t, gitlabSchemaSHA512, hex.EncodeToString(sum[:]))
	_, err = run("tar", "-xzf", "gitlab-ci-local-4.64.1.tgz", "package/package.json", "package/src/schema/schema.js")
	require.NoError(t, err)
	text, err := run("node", "--input-type=module", "-e",
		`import { schema } from "./package/src/schema/schema.js"; console.log(JSON.stringify(schema))`)
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("gitlab-ci.json", document))
	schema, err := compiler.Compile("gitlab-ci.json")
	require.NoError(t, err)
	return schema
}
