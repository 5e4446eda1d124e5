// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func parseTemplate(t *testing.T, entry string) identity.Template {
	t.Helper()
	template, ok, err := identity.ParseTemplate("repositories", entry)
	require.NoError(t, err)
	require.True(t, ok)
	return template
}

func TestParseTemplate(t *testing.T) {
	for _, entry := range []string{"{{claims.repository}}", "{{ claims.repository }}"} {
		require.Equal(t, "repository", parseTemplate(t, entry).Claim())
	}
	for _, entry := range []string{"acme/web", "acme/*", "*", "", "a{b}c"} {
		_, ok, err := identity.ParseTemplate("repositories", entry)
		require.NoError(t, err)
		require.False(t, ok, entry)
	}
	for _, entry := range []string{
		"{{repository}}", "{{claims.}}", "{{claims.repository", "claims.repository}}", "acme/{{claims.repository}}",
		"{{claims.repository}}*", "{{claims.a}}{{claims.b}}", "{{claims.act.sub}}", "{{claims.repository}}\n",
	} {
		_, _, err := identity.ParseTemplate("repositories", entry)
		requireFault(t, err, fault.Invalid, "repositories: ")
	}
}

func TestTemplateNamesOnlyWhatTheIssuerVouchesFor(t *testing.T) {
	for _, test := range []struct {
		preset, claim, issuerConfig string
		refused                     string
	}{
		{identity.GitHubActions, "repository", "gh", ""},
		{identity.GitLab, "project_path", "gh", ""},
		{identity.Forgejo, "repository", "gh", ""},
		{identity.GitHubActions, "ref", "gh", "only in {{claims.repository}}"},
		{identity.GitHubActions, "head_ref", "gh", "only in {{claims.repository}}"},
		{identity.GitHubActions, "repository_owner", "gh", "only in {{claims.repository}}"},
		{identity.GitHubActions, "project_path", "gh", "only in {{claims.repository}}"},
		{identity.GitLab, "repository", "gh", "only in {{claims.project_path}}"},
		{"", "repository", "gh", "has no preset"},
		{identity.GitHubActions, "repository", "other", `names repositories of config "other"`},
		{identity.GitHubActions, "repository", "", "write config=gh at the issuer"},
	} {
		issuer := identity.Issuer{Name: "local", Preset: test.preset, Config: test.issuerConfig}
		err := parseTemplate(t, "{{claims."+test.claim+"}}").Check("repositories", issuer, "gh")
		if test.refused == "" {
			require.NoError(t, err)
			continue
		}
		requireFault(t, err, fault.Invalid, test.refused)
		require.Contains(t, err.Error(), "repositories: ")
	}
}

func TestTemplateResolves(t *testing.T) {
	repository, err := parseTemplate(t, "{{claims.repository}}").Resolve(claimsOf(t, identitytest.GitHub()))
	require.NoError(t, err)
	require.Equal(t, "acme/web", repository)

	project, err := parseTemplate(t, "{{claims.project_path}}").Resolve(claimsOf(t, identitytest.GitLab()))
	require.NoError(t, err)
	require.Equal(t, "acme/shop/web", project)
}

func TestTemplateTakesNothingButARepository(t *testing.T) {
	template := parseTemplate(t, "{{claims.repository}}")
	for _, value := range []any{
		"", "web", "acme/", "/web", "acme/*", "*/*", "**", "acme/../web", "acme/..", "./web", "acme//web", "acme/web?x", "acme/web#x",
		"acme/web\n", "acme/web x", "acme/%2e%2e", "{{claims.repository}}", "acme/wéb", nil, []string{"acme/web"}, map[string]string{"a": "b"}, 7, true,
	} {
		_, err := template.Resolve(claimsOf(t, map[string]any{"repository": value}))
		requireFault(t, err, fault.Denied, "identity: ")
	}
	_, err := template.Resolve(identity.Claims{})
	requireFault(t, err, fault.Denied, "is missing")

	dotted, err := template.Resolve(claimsOf(t, map[string]string{"repository": "acme/.github"}))
	require.NoError(t, err)
	require.Equal(t, "acme/.github", dotted)
}
