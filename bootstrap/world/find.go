// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// ErrNoVault is what FindVault fails with; its text says what to do about it.
var ErrNoVault = errors.New("no vault binary: run `make vault`, or put one on PATH or into VAULT_BINARY")

var moduleLine = regexp.MustCompile(`(?m)^module github\.com/ci-identity/vault-plugin-secrets-ci$`)

// Root is the directory of this repository: the nearest one upwards from the
// working directory that holds the go.mod of the engine.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("repository root: %w", err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && moduleLine.Match(text) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("repository root: not inside a checkout of vault-plugin-secrets-ci")
		}
		dir = parent
	}
}

// FindVault is the absolute path of the Vault to run: VAULT_BINARY where it is
// set, else bin/vault of the repository, else the one on PATH. The repository's
// own comes before PATH because it is only built where the one on PATH is
// missing or too old.
func FindVault() (string, error) {
	if binary := os.Getenv("VAULT_BINARY"); binary != "" {
		path, err := exec.LookPath(binary)
		if err != nil {
			return "", fmt.Errorf("VAULT_BINARY: %w", err)
		}
		return filepath.Abs(path)
	}
	if root, err := Root(); err == nil {
		if path, err := exec.LookPath(filepath.Join(root, "bin", "vault")); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath("vault")
	if err != nil {
		return "", ErrNoVault
	}
	return filepath.Abs(path)
}
