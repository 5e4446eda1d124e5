// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Command is one run of the vault command line.
type Command struct {
	Args []string
	// Token; empty means the root token.
	Token string
	// Env is added to the environment, KEY=value.
	Env []string
	// Stdin is what the command reads.
	Stdin string
	// Dir is where it runs; empty means the working directory.
	Dir string
}

// Output is what a command has left behind.
type Output struct {
	Stdout, Stderr string
	// Code it exited with.
	Code int
}

// CLI runs `vault` against the first node that runs. That it exits with a code
// other than 0 is no error: the code is in the output.
func (v *Vault) CLI(ctx context.Context, command Command) (Output, error) {
	run := exec.CommandContext(ctx, v.binary, command.Args...)
	token := command.Token
	if token == "" {
		token = v.RootToken()
	}
	run.Env = v.environment(append(v.ClientEnv(), "VAULT_TOKEN="+token))
	run.Env = append(run.Env, command.Env...)
	run.Dir = command.Dir
	run.Stdin = strings.NewReader(command.Stdin)
	var stdout, stderr bytes.Buffer
	run.Stdout, run.Stderr = &stdout, &stderr
	err := run.Run()
	output := Output{Stdout: stdout.String(), Stderr: stderr.String(), Code: run.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.Exited()) {
		// The arguments may hold secrets: only the subcommand is named.
		return output, fmt.Errorf("vault %s: %w", strings.Join(command.Args[:min(1, len(command.Args))], ""), err)
	}
	return output, nil
}

// Binary is the path of the Vault that runs, for Vault Agent and Proxy.
func (v *Vault) Binary() string { return v.binary }

// ClientEnv is the environment by which any client of Vault finds this one:
// its address and, with TLS, its certificate authority. No token.
func (v *Vault) ClientEnv() []string {
	env := []string{"VAULT_ADDR=" + v.running().Address}
	if v.caFile != "" {
		env = append(env, "VAULT_CACERT="+v.caFile)
	}
	return env
}
