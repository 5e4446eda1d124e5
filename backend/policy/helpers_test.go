// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// today is when the tests are.
var today = time.Date(2030, 5, 6, 7, 8, 9, 0, time.UTC)

// vocabulary knows every resource but unicorns, and calls administration destructive.
type vocabulary struct{}

func (vocabulary) Check(p providers.Permission) error {
	if p.Resource == "unicorns" {
		return fault.InvalidField("permissions", "there are no unicorns")
	}
	return nil
}

func (vocabulary) Destructive(p providers.Permission) bool {
	return p.Resource == "administration" && p.Level != providers.Read
}

var forge = providers.Platform{Name: "forge", Title: "Forge", Vocabulary: vocabulary{}}

// webRole reads the contents of acme/web, with changes.
func webRole(changes ...func(*Role)) *Role {
	r := &Role{
		Name: "web", Config: "forge", Stage: "build", Environment: "dev", Owner: "team-web", Purpose: "build the site",
		Repositories: []string{"web"}, Permissions: []string{"contents=read"},
	}
	for _, change := range changes {
		change(r)
	}
	return r
}

// ordinary is what surrounds it: a ceiling of contents and checks, and a dev
// environment, with changes.
func ordinary(changes ...func(*Surroundings)) Surroundings {
	s := Surroundings{
		Platform:    forge,
		Stage:       &Stage{Name: "build", Ceilings: map[string][]string{"forge": {"contents=read", "checks=write"}}},
		Environment: &Environment{Name: "dev", DestructiveApprovals: 1, AllowedRoles: []string{"*"}},
		Config:      ConfigFacts{Name: "forge", Account: "acme", AllowedRoles: []string{"*"}},
	}
	for _, change := range changes {
		change(&s)
	}
	return s
}

// says holds that the error is of the kind and has the text; no text is no error.
func says(t *testing.T, err error, kind fault.Kind, text string) {
	t.Helper()
	if text == "" {
		require.NoError(t, err)
		return
	}
	require.ErrorContains(t, err, text)
	require.Equal(t, kind, fault.KindOf(err), err)
}
