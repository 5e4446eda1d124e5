// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

const (
	script      = "../github-openapi.sh"
	unreachable = 75
)

// runScript skips the test where the package that it needs cannot be had.
func runScript(t *testing.T, args ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("fetches a package: not with -short")
	}
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not on PATH")
	}
	out, err := exec.Command(script, args...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == unreachable {
		t.Skipf("npm cannot reach its registry: %s", out)
	}
	require.NoError(t, err, "%s", out)
}

func TestExtractIsWhatTheScriptWrites(t *testing.T) { runScript(t, "--check") }

// That is why there is an extract: the whole cannot be validated against.
func TestWholeDescriptionIsNotValid(t *testing.T) {
	dir := t.TempDir()
	runScript(t, "--fetch", dir)
	whole, err := os.ReadFile(filepath.Join(dir, "generated", "api.github.com.json"))
	require.NoError(t, err)
	doc, err := openapi3.NewLoader().LoadFromData(whole)
	if err == nil {
		err = doc.Validate(context.Background())
	}
	require.Error(t, err)
	t.Log(err)
}

func TestScriptUsage(t *testing.T) {
	out, err := exec.Command(script, "--nonsense").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "--check")
}

const small = `{
 "openapi": "3.0.3",
 "info": {"title": "T", "version": "1", "description": "prose", "license": {"name": "MIT"}, "x-a": 1},
 "paths": {
  "/a": {
   "get": {
    "summary": "prose", "tags": ["t"], "x-github": {},
    "responses": {
     "200": {"description": "prose", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/a"}, "examples": {"e": {"$ref": "#/components/examples/e"}}}}},
     "404": {"$ref": "#/components/responses/none"}
    }
   },
   "post": {"responses": {"204": {"description": "prose"}}}
  },
  "/b": {"get": {"responses": {"200": {"$ref": "#/components/responses/unused"}}}}
 },
 "components": {
  "schemas": {
   "a": {"description": "prose", "properties": {"description": {"type": "string", "example": "e"}, "self": {"$ref": "#/components/schemas/a"}}},
   "unused": {}
  },
  "responses": {"none": {"description": "prose"}, "unused": {}}
 }
}`

func TestExtract(t *testing.T) {
	got, err := extract([]byte(small), []string{"GET /a"})
	require.NoError(t, err)
	require.JSONEq(t, `{
 "openapi": "3.0.3",
 "info": {"title": "T", "version": "1", "license": {"name": "MIT"}},
 "paths": {"/a": {"get": {"responses": {
  "200": {"description": "", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/a"}}}},
  "404": {"$ref": "#/components/responses/none"}
 }}}},
 "components": {
  "schemas": {"a": {"properties": {"description": {"type": "string"}, "self": {"$ref": "#/components/schemas/a"}}}},
  "responses": {"none": {"description": ""}}
 }
}`, string(got))

	for operation, says := range map[string]string{"DELETE /a": "there is no paths /a delete", "GET /c": "there is no paths /c get"} {
		_, err = extract([]byte(small), []string{operation})
		require.EqualError(t, err, says)
	}
	_, err = extract([]byte(`{"paths": {"/a": {"get": {"$ref": "other.json"}}}}`), []string{"GET /a"})
	require.EqualError(t, err, "other.json refers to another file")
	_, err = extract([]byte(`{`), nil)
	require.Error(t, err)
}
