// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package scripts_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestVuln runs vuln.sh on what govulncheck says and exits with.
func TestVuln(t *testing.T) {
	script, err := os.ReadFile("vuln.sh")
	require.NoError(t, err)
	for _, c := range []struct {
		says string
		code int
		ok   bool
		want string
	}{
		{"No vulnerabilities found.", 0, true, "No vulnerabilities found."},
		{"#1: main.go:7: main calls context.WithTimeout, which calls net.dial tcp", 3, false, "WithTimeout"},
		{"fetching vulnerabilities: Get: dial tcp: lookup vuln.go.dev: no such host", 1, true, "left out"},
		{"main.go:7: undefined: timeout", 1, false, "undefined: timeout"},
	} {
		root := t.TempDir()
		write := func(path, text string) {
			path = filepath.Join(root, path)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
			require.NoError(t, os.WriteFile(path, []byte(text), 0o700))
		}
		write("scripts/vuln.sh", string(script))
		write("bin/govulncheck", fmt.Sprintf("#!/bin/sh\necho '%s'\nexit %d\n", c.says, c.code))
		output, err := exec.Command("bash", filepath.Join(root, "scripts", "vuln.sh")).CombinedOutput()
		require.Equal(t, c.ok, err == nil, "%s: %s", c.says, output)
		require.Contains(t, string(output), c.want)
	}
}
