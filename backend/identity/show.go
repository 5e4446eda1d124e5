// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"strconv"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/redact"
)

// shownRunes bounds how much of a value from outside a message repeats.
const shownRunes = 128

// shownItems bounds how many values of a list a message repeats.
const shownItems = 8

// show quotes a value from outside for a message.
func show(value string) string {
	if runes := []rune(value); len(runes) > shownRunes {
		value = string(runes[:shownRunes]) + "..."
	}
	return strconv.Quote(redact.Words(value))
}

// showAll quotes a list of values for a message.
func showAll(values []string) string {
	rest := ""
	if more := len(values) - shownItems; more > 0 {
		values, rest = values[:shownItems], " and "+strconv.Itoa(more)+" more"
	}
	shown := make([]string, len(values))
	for i, value := range values {
		shown[i] = show(value)
	}
	return strings.Join(shown, ", ") + rest
}
