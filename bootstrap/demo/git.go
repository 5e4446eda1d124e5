// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
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
