// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func TestBaseURLs(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                "https://api.github.com",
		"https://api.github.com":          "https://api.github.com",
		"https://api.github.com/":         "https://api.github.com",
		"https://github.com":              "https://api.github.com",
		"https://www.github.com/":         "https://api.github.com",
		"https://API.GitHub.com":          "https://api.github.com",
		"https://octo.ghe.com":            "https://api.octo.ghe.com",
		"https://api.octo.ghe.com/":       "https://api.octo.ghe.com",
		"https://git.acme.test":           "https://git.acme.test/api/v3",
		"https://git.acme.test/":          "https://git.acme.test/api/v3",
		"https://git.acme.test/api":       "https://git.acme.test/api/v3",
		"https://git.acme.test/api/v3":    "https://git.acme.test/api/v3",
		"https://git.acme.test/api/v3/":   "https://git.acme.test/api/v3",
		"https://git.acme.test:8443":      "https://git.acme.test:8443/api/v3",
		"https://git.acme.test:443/":      "https://git.acme.test/api/v3",
		"http://127.0.0.1:3000":           "http://127.0.0.1:3000",
		"http://localhost:3000/api/v3/":   "http://localhost:3000/api/v3",
		"https://[::1]:3000/":             "https://[::1]:3000",
		"https://mygithub.com":            "https://mygithub.com/api/v3",
		"https://api.github.com.evil.com": "https://api.github.com.evil.com/api/v3",
	} {
		got, err := apiURL(raw)
		require.NoError(t, err, raw)
		require.Equal(t, want, got, raw)
		again, err := apiURL(got)
		require.NoError(t, err, raw)
		require.Equal(t, got, again, raw)
	}
	for raw, says := range map[string]string{
		"http://git.acme.test":           "must be https",
		"https://github.com/acme":        "has no API below /acme",
		"https://git.acme.test/acme/web": "/api/v3",
		"https://u:p@git.acme.test":      "user or a password",
		"git.acme.test":                  "absolute",
	} {
		_, err := apiURL(raw)
		requireFault(t, err, fault.Invalid, "base_url: ", says)
	}
}

func TestVocabulary(t *testing.T) {
	v := Vocabulary{}
	for _, good := range []string{
		"contents=read", "contents=write", "workflows=write", "organization_projects=admin",
		"repository_projects=admin", "attestations=write", "something_new=write", "organization_plan=read",
	} {
		p, err := providers.ParsePermission("permissions", good)
		require.NoError(t, err)
		require.NoError(t, v.Check(p))
	}
	for bad, says := range map[providers.Permission]string{
		{Resource: "contents", Level: "admin"}:          "only as read, write",
		{Resource: "workflows", Level: "read"}:          "only as write",
		{Resource: "organization_plan", Level: "write"}: "only as read",
		{Resource: "something_new", Level: "admin"}:     "only as read, write",
		{Resource: "pull-requests", Level: "write"}:     "is it pull_requests?",
		{Resource: "pullRequests", Level: "write"}:      "is it pull_requests?",
		{Resource: "PullRequests", Level: "write"}:      "is it pull_requests?",
		{Resource: "Pull requests", Level: "write"}:     "is it pull_requests?",
		{Resource: "pull_request", Level: "write"}:      "is it pull_requests?",
		{Resource: "status", Level: "write"}:            "is it statuses?",
		{Resource: "secret", Level: "read"}:             "is it secrets?",
		{Resource: "", Level: "read"}:                   "lower-case words",
	} {
		requireFault(t, v.Check(bad), fault.Invalid, "permissions: ", says)
	}
}

func TestDestructive(t *testing.T) {
	v := Vocabulary{}
	for _, s := range []string{
		"administration=write", "secrets=write", "environments=write", "workflows=write", "members=write",
		"repository_hooks=write", "actions_variables=write", "dependabot_secrets=write", "codespaces_secrets=write",
		"organization_secrets=write", "organization_administration=write", "organization_projects=admin",
		"repository_custom_properties=write", "secret_scanning_alerts=write", "security_events=write", "something_new=write",
	} {
		p, err := providers.ParsePermission("permissions", s)
		require.NoError(t, err)
		require.True(t, v.Destructive(p), s)
		p.Level = providers.Read
		require.False(t, v.Destructive(p), p.String())
	}
	for _, s := range []string{"contents=write", "packages=write", "pull_requests=write", "deployments=write", "actions=write"} {
		p, err := providers.ParsePermission("permissions", s)
		require.NoError(t, err)
		require.False(t, v.Destructive(p), s)
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	for field, value := range map[string]string{
		fieldAppID: "my app", fieldPrivateKey: "nonsense", fieldOrganization: "acme/web", fieldInstallation: "0x10",
	} {
		values := map[string]string{fieldAppID: "1", fieldPrivateKey: keyPEM(), field: value}
		_, err := Platform().Connect(providers.Settings{Values: values})
		requireFault(t, err, fault.Invalid, field+": ")
	}
}
