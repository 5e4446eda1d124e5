// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// credentialHelper answers git with what stands in the environment: a token in an
// argument or a URL would be there for every process list and every log to see.
const credentialHelper = `!f() { test "$1" = get && echo "username=$CI_USERNAME" && echo "password=$CI_TOKEN"; }; f`

func gitClone(ctx context.Context, url, username, token, dir string) error {
	return git(ctx, "", username, token, "clone", "--quiet", url, dir)
}

func git(ctx context.Context, dir, username, token string, args ...string) error {
	command := exec.CommandContext(ctx, "git", append([]string{"-c", "credential.helper=", "-c", "credential.helper=" + credentialHelper}, args...)...)
	command.Dir = dir
	command.Env = append(os.Environ(), "CI_USERNAME="+username, "CI_TOKEN="+token, "GIT_TERMINAL_PROMPT=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, strings.ReplaceAll(strings.TrimSpace(string(out)), token, "***"))
	}
	return nil
}

// releaseRole is the role of a step that pushes to acme/web.
func releaseRole(config string) []string {
	return []string{
		"write", "ci/roles/release-dev", "config=" + config, "stage=release", "environment=dev",
		"owner=team-web", "purpose=release the site", "repositories=acme/web", "permissions=repository=write", "ttl=2m",
	}
}

// commitAndPush is a release step: it clones, commits a file and pushes it.
func commitAndPush(ctx context.Context, d *demo, url, username, token, dir string) error {
	if err := gitClone(ctx, url, username, token, dir); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "VERSION"), []byte("1.0.0\n"), 0o600); err != nil {
		return err
	}
	identity := []string{"-c", "user.name=release-dev", "-c", "user.email=release-dev@example.com"}
	for _, args := range [][]string{
		{"add", "VERSION"}, append(identity, "commit", "--quiet", "--message", "Release 1.0.0"), {"push", "--quiet", "origin", "HEAD:main"},
	} {
		if err := git(ctx, dir, username, token, args...); err != nil {
			return err
		}
	}
	d.note("git push acme/web    pushed a commit, as %s", username)
	return nil
}
