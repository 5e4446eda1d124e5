// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"slices"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// CheckGranted compares what a platform says it granted with what was asked. More
// than was asked is fault.Nonsense, as is a token without a secret; less is the
// platform's right.
func CheckGranted(asked providers.Grant, token *providers.Token) error {
	if token == nil || token.Secret == "" {
		return fault.New(fault.Nonsense, "the platform answered without a token")
	}
	var more []string
	for _, r := range token.Repositories {
		if !slices.ContainsFunc(asked.Repositories, func(a string) bool { return strings.EqualFold(a, r) }) {
			more = append(more, "repository "+r)
		}
	}
	// Every token of GitHub's can read metadata; nobody can ask for one that cannot.
	implied := providers.Permission{Resource: "metadata", Level: providers.Read}
	granted := slices.DeleteFunc(slices.Clone(token.Permissions), func(p providers.Permission) bool { return p == implied })
	more = append(more, Excess(asked.Permissions, granted)...)
	if len(token.Repositories) == 0 {
		more = append(more, "repositories that it does not name")
	}
	if len(more) > 0 {
		return fault.New(fault.Nonsense, "the platform granted more than was asked: %s; the token was revoked", strings.Join(more[:min(len(more), 10)], ", "))
	}
	return nil
}
