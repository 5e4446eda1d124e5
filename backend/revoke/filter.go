// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package revoke

import (
	"slices"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
)

// Filter says which tokens a kill is for. What is empty matches all; all that is
// given must match.
type Filter struct {
	Role        string `json:"role,omitempty"`
	Stage       string `json:"stage,omitempty"`
	Environment string `json:"environment,omitempty"`
	Owner       string `json:"owner,omitempty"`
	Config      string `json:"config,omitempty"`
	Repository  string `json:"repository,omitempty"`
	EntityID    string `json:"entity_id,omitempty"`
}

// Match reports whether a record is meant.
func (f Filter) Match(r *ledger.Record) bool {
	for _, want := range [][2]string{
		{f.Role, r.Role}, {f.Stage, r.Stage}, {f.Environment, r.Environment},
		{f.Owner, r.Owner}, {f.Config, r.Config}, {f.EntityID, r.EntityID},
	} {
		if want[0] != "" && want[0] != want[1] {
			return false
		}
	}
	return f.Repository == "" || slices.ContainsFunc(r.Repositories, func(name string) bool {
		return strings.EqualFold(policy.FullName(r.Organization, name), policy.FullName(r.Organization, f.Repository))
	})
}

// String lists what is given, as operators write it.
func (f Filter) String() string {
	var given []string
	for _, field := range [][2]string{
		{"role", f.Role}, {"stage", f.Stage}, {"environment", f.Environment}, {"owner", f.Owner},
		{"config", f.Config}, {"repository", f.Repository}, {"entity_id", f.EntityID},
	} {
		if field[1] != "" {
			given = append(given, field[0]+"="+field[1])
		}
	}
	return strings.Join(given, " ")
}
