// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/credential"
)

// delivery is how a command gets its credential: in variables, by git, in a file.
type delivery struct {
	variables texts
	git       bool
	file      string
}

// standardVariables are given when nothing else was asked for.
var standardVariables = []string{"CI_TOKEN=token", "CI_TOKEN_USERNAME=username"}

func (d *delivery) declare(flags *flag.FlagSet) {
	flags.Var(&d.variables, "env", "variable that COMMAND finds the token in, or NAME=FIELD for another field of the credential; may be repeated; "+
		strings.Join(standardVariables, " ")+" if no other way is asked for")
	flags.BoolVar(&d.git, "git", false, "let git use the credential for the platform that it is of, and nowhere else")
	flags.StringVar(&d.file, "file", "", "file that COMMAND finds the whole credential in, as JSON, while it runs")
}

// deliver makes the environment of the command. cleanUp is never nil and removes
// every file that was made here, and nothing else.
func (d *delivery) deliver(made *credential.Credential) (environment []string, cleanUp func(), err error) {
	var files []string
	cleanUp = func() {
		// A folder has to be empty: what came last goes first.
		for _, file := range slices.Backward(files) {
			_ = os.Remove(file)
		}
	}
	environment = ownEnvironment()
	variables := d.variables
	if len(variables) == 0 && !d.git && d.file == "" {
		variables = standardVariables
	}
	for _, variable := range variables {
		name, field, named := strings.Cut(variable, "=")
		if !named {
			field = "token"
		}
		value, err := made.Field(field)
		if err != nil {
			return nil, cleanUp, err
		}
		environment = append(environment, name+"="+value)
	}
	if d.file != "" {
		if err := writeCredential(d.file, made); err != nil {
			return nil, cleanUp, err
		}
		files = append(files, d.file)
	}
	if d.git {
		folder, err := os.MkdirTemp(os.Getenv("RUNNER_TEMP"), "citoken-")
		if err != nil {
			return nil, cleanUp, fmt.Errorf("git: %w", err)
		}
		files = append(files, folder)
		file := filepath.Join(folder, "credential.json")
		if err := writeCredential(file, made); err != nil {
			return nil, cleanUp, err
		}
		files = append(files, file)
		if environment, err = gitEnvironment(environment, made, file); err != nil {
			return nil, cleanUp, err
		}
	}
	return environment, cleanUp, nil
}

// writeCredential writes a new file that nobody else can read. One that is there is
// somebody else's; one that could not be written to its end is removed.
func writeCredential(path string, made *credential.Credential) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("credential file: %w", err)
	}
	if err := errors.Join(json.NewEncoder(file).Encode(made), file.Close()); err != nil {
		return fmt.Errorf("credential file: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

func readCredential(path string) (*credential.Credential, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var made credential.Credential
	if err := json.Unmarshal(text, &made); err != nil {
		return nil, fmt.Errorf("%s: not a credential: %w", path, err)
	}
	return &made, nil
}

// gitEnvironment configures git by its environment: nothing is left behind, and
// other helpers, or a header that a checkout step has left, do not come first.
func gitEnvironment(environment []string, made *credential.Credential, file string) ([]string, error) {
	site, err := made.GitURL()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("git: %w", err)
	}
	settings := [][2]string{
		{"credential." + site + ".helper", ""},
		{"credential." + site + ".helper", fmt.Sprintf("!%s git-credential -from %s", shellQuote(self), shellQuote(file))},
		{"http." + site + "/.extraheader", ""},
	}
	count, _ := strconv.Atoi(os.Getenv("GIT_CONFIG_COUNT"))
	for i, setting := range settings {
		environment = append(environment,
			fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", count+i, setting[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", count+i, setting[1]))
	}
	return append(environment, fmt.Sprintf("GIT_CONFIG_COUNT=%d", count+len(settings)), "GIT_TERMINAL_PROMPT=0"), nil
}

// shellQuote makes one word of a text: git runs a helper with a shell.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
