// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func TestEachPlatformBringsItsCeilings(t *testing.T) {
	stages := BuiltinStages([]providers.Platform{
		{Name: "one", Ceilings: map[string][]string{"build": {"a=read"}, "test": {"b=read"}}},
		{Name: "two", Ceilings: map[string][]string{"build": {"c=write"}}},
	})
	require.Equal(t, map[string][]string{"one": {"a=read"}, "two": {"c=write"}}, stages["build"].Ceilings)
	require.Equal(t, map[string][]string{"one": {"b=read"}}, stages["test"].Ceilings)
	require.Len(t, stages, 2)
}

func TestAStageAsItIsWritten(t *testing.T) {
	for _, c := range []struct {
		name    string
		ceiling []string
		says    string
	}{
		{"a ceiling", []string{"contents=write", "checks=read"}, ""},
		{"none, which allows nothing", nil, ""},
		{"no level", []string{"contents"}, "resource=level"},
		{"a level that is none", []string{"contents=all"}, "read, write or admin"},
		{"the same twice", []string{"contents=read", "contents=write"}, "twice"},
		{"what the platform has not", []string{"unicorns=read"}, "forge: permissions: there are no unicorns"},
	} {
		t.Run(c.name, func(t *testing.T) {
			stage := &Stage{Ceilings: map[string][]string{"forge": c.ceiling}}
			says(t, CheckStage(stage, []providers.Platform{forge}), fault.Invalid, c.says)
		})
	}
}

func TestWhatThePlatformGranted(t *testing.T) {
	asked := providers.Grant{Account: "acme", Repositories: []string{"web", "api"}, Permissions: permissions("contents=read", "checks=write")}
	for _, c := range []struct {
		name  string
		token *providers.Token
		says  string
	}{
		{"what was asked", granted([]string{"web", "api"}, "contents=read", "checks=write"), ""},
		{"in other letters", granted([]string{"Web", "API"}, "contents=read", "checks=write"), ""},
		{"less", granted([]string{"web"}, "contents=read"), ""},
		{"metadata, which every token can read", granted([]string{"web"}, "contents=read", "metadata=read"), ""},
		{"metadata to write", granted([]string{"web"}, "metadata=write"), "metadata=write (not allowed at all)"},
		{"another repository", granted([]string{"web", "secret"}, "contents=read"), "repository secret"},
		{"all repositories", granted([]string{"*"}, "contents=read"), "repository *"},
		{"repositories that it does not name", granted(nil, "contents=read"), "repositories that it does not name"},
		{"a higher level", granted([]string{"web"}, "contents=write"), "contents=write (at most contents=read)"},
		{"another permission", granted([]string{"web"}, "administration=read"), "administration=read (not allowed at all)"},
		{"a level that nobody knows", granted([]string{"web"}, "checks=owner"), "checks=owner"},
		{"no token", &providers.Token{Repositories: []string{"web"}}, "without a token"},
		{"nothing", nil, "without a token"},
	} {
		t.Run(c.name, func(t *testing.T) { says(t, CheckGranted(asked, c.token), fault.Nonsense, c.says) })
	}
}

func granted(repositories []string, list ...string) *providers.Token {
	return &providers.Token{Secret: "s", Repositories: repositories, Permissions: permissions(list...)}
}

// permissions reads a list without judging it: platforms may say anything.
func permissions(list ...string) []providers.Permission {
	var all []providers.Permission
	for _, s := range list {
		for i := range s {
			if s[i] == '=' {
				all = append(all, providers.Permission{Resource: s[:i], Level: providers.Level(s[i+1:])})
			}
		}
	}
	return all
}
