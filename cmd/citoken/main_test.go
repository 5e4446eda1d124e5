// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/snippets"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"citoken": main})
}

// TestSessions are sessions that need no Vault; those that do are in testdata/vault,
// and run by bootstrap/acceptance.
func TestSessions(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "offline"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			scripts, err := filepath.Glob(filepath.Join(env.WorkDir, "*.sh"))
			for _, script := range scripts {
				if err := os.Chmod(script, 0o700); err != nil {
					return err
				}
			}
			return err
		},
	})
}

func TestScheduledScan(t *testing.T) {
	linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
	require.NoError(t, err)
	text, err := os.ReadFile("scheduled-scan.yml")
	require.NoError(t, err)
	lint := func(text string) []*actionlint.Error {
		faults, err := linter.Lint("scheduled-scan.yml", []byte(text), nil)
		require.NoError(t, err)
		return faults
	}
	require.Empty(t, lint(string(text)))
	require.NotEmpty(t, lint(strings.ReplaceAll(string(text), "runs-on", "run-on")))

	// Its commands, on this folder, without a Vault.
	folder := t.TempDir()
	for _, part := range regexp.MustCompile(`run: citoken scan (.*) -output (\S+) \.`).FindAllStringSubmatch(string(text), -1) {
		report := filepath.Join(folder, part[2])
		arguments := append([]string{"scan", "-offline", "-output", report}, strings.Fields(part[1])...)
		code := run(append(arguments, t.TempDir()), streams{strings.NewReader(""), io.Discard, io.Discard})
		if strings.Contains(part[1], "-git") {
			require.Equal(t, exitTrouble, code, "an empty folder has no history")
		} else {
			require.NotEqual(t, exitTrouble, code)
		}
		require.FileExists(t, report)
	}
}

func TestPage(t *testing.T) { snippets.Check(t, "README.md") }
