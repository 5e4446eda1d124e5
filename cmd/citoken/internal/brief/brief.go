// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package brief says what Vault said in one line: a CI log is read by people.
package brief

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/api"
)

// Error shortens what Vault's client makes of an answer. Other errors stay as they
// are, and so does what errors.As finds.
func Error(err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		return err
	}
	var said []string
	for _, text := range answer.Errors {
		for line := range strings.Lines(text) {
			line = strings.TrimPrefix(strings.TrimSpace(line), "* ")
			if line != "" && !strings.HasSuffix(line, "occurred:") {
				said = append(said, line)
			}
		}
	}
	if len(said) == 0 {
		said = []string{"no reason given"}
	}
	return &short{fmt.Sprintf("Vault answers %d: %s", answer.StatusCode, strings.Join(said, "; ")), err}
}

type short struct {
	text string
	err  error
}

func (s *short) Error() string { return s.text }
func (s *short) Unwrap() error { return s.err }
