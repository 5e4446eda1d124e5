// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

const (
	github = "https://token.actions.githubusercontent.com"
	ghes   = "https://github.example.com/_services/token"
)

func TestPresetGivesWayToWhatIsWritten(t *testing.T) {
	public := identitytest.New(t, identitytest.Options{Algorithm: "ES256"}).PublicKey()
	for _, test := range []struct {
		name             string
		written          identity.Issuer
		issuer, from     string
		jwks, publicKeys bool
	}{
		{name: "GitHub", written: identity.Issuer{Preset: "github-actions"}, issuer: github, from: github},
		{name: "GitHub Enterprise Server", written: identity.Issuer{Preset: "github-actions", DiscoveryURL: ghes}, issuer: ghes, from: ghes},
		{name: "an enterprise's own issuer", written: identity.Issuer{Preset: "github-actions", BoundIssuer: github + "/acme"}, issuer: github + "/acme", from: github + "/acme"},
		{name: "GitLab", written: identity.Issuer{Preset: "gitlab"}, issuer: "https://gitlab.com", from: "https://gitlab.com"},
		{name: "own GitLab", written: identity.Issuer{Preset: "gitlab", DiscoveryURL: "https://git.example.com/"}, issuer: "https://git.example.com", from: "https://git.example.com"},
		{name: "Forgejo", written: identity.Issuer{Preset: "forgejo", DiscoveryURL: "https://git.example.com/api/actions"}, issuer: "https://git.example.com/api/actions", from: "https://git.example.com/api/actions"},
		{name: "both written", written: identity.Issuer{Preset: "gitlab", DiscoveryURL: "https://a.example.com", BoundIssuer: "https://b.example.com"}, issuer: "https://b.example.com", from: "https://a.example.com"},
		{name: "keys written", written: identity.Issuer{Preset: "gitlab", JWKSURL: "https://a.example.com/keys"}, issuer: "https://gitlab.com", jwks: true},
		{name: "public keys written", written: identity.Issuer{Preset: "github-actions", PublicKeys: []string{public}}, issuer: github, publicKeys: true},
		{name: "no preset", written: identity.Issuer{DiscoveryURL: "https://a.example.com"}, issuer: "https://a.example.com", from: "https://a.example.com"},
		{name: "no preset, keys", written: identity.Issuer{JWKSURL: "https://a.example.com/keys"}, issuer: "", jwks: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.written.Audiences = []string{"vault"}
			complete, err := test.written.Complete()
			require.NoError(t, err)
			require.Equal(t, test.issuer, complete.BoundIssuer)
			require.Equal(t, test.from, complete.DiscoveryURL)
			require.Equal(t, test.jwks, complete.JWKSURL != "")
			require.Equal(t, test.publicKeys, complete.PublicKeys != nil)

			again, err := complete.Complete()
			require.NoError(t, err)
			require.Equal(t, complete, again, "completing twice changes nothing")
		})
	}
}

func TestIssuerRefuses(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	weakDER, err := x509.MarshalPKIXPublicKey(weak.Public())
	require.NoError(t, err)
	inPEM := func(kind string, der []byte) []string {
		return []string{string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))}
	}
	good := identitytest.New(t, identitytest.Options{Algorithm: "ES256"}).PublicKey()
	fine := identity.Issuer{DiscoveryURL: "https://a.example.com", Audiences: []string{"vault"}}
	for _, test := range []struct {
		name  string
		field string
		words string
		write func(*identity.Issuer)
	}{
		{"an unknown preset", "preset", "github-actions, gitlab, forgejo", func(i *identity.Issuer) { i.Preset = "jenkins" }},
		{"no key source", "discovery_url", "one of preset, discovery_url, jwks_url and public_keys", func(i *identity.Issuer) { i.DiscoveryURL = "" }},
		{"an issuer is no key source", "discovery_url", "no key source", func(i *identity.Issuer) { i.DiscoveryURL, i.BoundIssuer = "", "https://a.example.com" }},
		{"Forgejo without a host", "discovery_url", "https://HOST/api/actions", func(i *identity.Issuer) { i.DiscoveryURL, i.Preset = "", "forgejo" }},
		{"two key sources", "jwks_url", "beside discovery_url", func(i *identity.Issuer) { i.JWKSURL = "https://a.example.com/keys" }},
		{"two key sources, keys", "public_keys", "beside discovery_url", func(i *identity.Issuer) { i.PublicKeys = []string{good} }},
		{"http", "discovery_url", "https", func(i *identity.Issuer) { i.DiscoveryURL = "http://a.example.com" }},
		{"http for the keys", "jwks_url", "https", func(i *identity.Issuer) { i.DiscoveryURL, i.JWKSURL = "", "http://a.example.com/keys" }},
		{"a file", "discovery_url", "https", func(i *identity.Issuer) { i.DiscoveryURL = "file:///etc/passwd" }},
		{"a password", "discovery_url", "password", func(i *identity.Issuer) { i.DiscoveryURL = "https://user:hunter2@a.example.com" }},
		{"the document's address", "discovery_url", "leave out", func(i *identity.Issuer) { i.DiscoveryURL += "/.well-known/openid-configuration" }},
		{"no audience", "audiences", "must not be empty", func(i *identity.Issuer) { i.Audiences = nil }},
		{"an empty audience", "audiences", "must not be empty", func(i *identity.Issuer) { i.Audiences = []string{"vault", ""} }},
		{"a certificate that is none", "ca_cert", "PEM", func(i *identity.Issuer) { i.CACert = "x" }},
		{"a key that is none", "public_keys", "number 1", func(i *identity.Issuer) { i.DiscoveryURL, i.PublicKeys = "", []string{"x"} }},
		{"a second key that is none", "public_keys", "number 2", func(i *identity.Issuer) { i.DiscoveryURL, i.PublicKeys = "", []string{good + good, " "} }},
		{"a private key", "public_keys", `"RSA PRIVATE KEY"`, func(i *identity.Issuer) {
			i.DiscoveryURL, i.PublicKeys = "", inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(weak))
		}},
		{"a short RSA key", "public_keys", "at least 2048 bits", func(i *identity.Issuer) { i.DiscoveryURL, i.PublicKeys = "", inPEM("PUBLIC KEY", weakDER) }},
		{"a broken key", "public_keys", "cannot be read", func(i *identity.Issuer) { i.DiscoveryURL, i.PublicKeys = "", inPEM("PUBLIC KEY", weakDER[:40]) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			issuer := fine
			test.write(&issuer)
			_, err := issuer.Complete()
			requireFault(t, err, fault.Invalid, test.field+": ")
			require.Contains(t, err.Error(), test.words)
			require.NotContains(t, err.Error(), "hunter2")

			_, err = identity.NewVerifier(issuer, identity.Options{})
			requireFault(t, err, fault.Invalid, test.field+": ")
		})
	}
}

func TestAPublicIssuerNeedsToKnowWhoseJob(t *testing.T) {
	const gitlab, codeberg = "https://gitlab.com", "https://codeberg.org/api/actions"
	for _, test := range []struct {
		name   string
		issuer identity.Issuer
		role   []string
		env    []string
		binds  bool
	}{
		{"nothing", identity.Issuer{Preset: "github-actions"}, nil, nil, false},
		{"a repository", identity.Issuer{Preset: "github-actions"}, []string{"repository=acme/web"}, nil, true},
		{"all of an owner's", identity.Issuer{Preset: "github-actions"}, []string{"repository=acme/*"}, nil, true},
		{"an id", identity.Issuer{Preset: "github-actions"}, []string{"repository_id=1296269"}, nil, true},
		{"at the environment", identity.Issuer{Preset: "github-actions"}, []string{"ref=refs/heads/main"}, []string{"repository_owner=acme"}, true},
		{"only what strangers have too", identity.Issuer{Preset: "github-actions"}, []string{"ref=refs/heads/main", "environment=prod", "actor=octocat"}, nil, false},
		{"a workflow that strangers can call", identity.Issuer{Preset: "github-actions"}, []string{"job_workflow_ref=acme/ci/.github/workflows/x.yml@v1"}, nil, false},
		{"sub, whose form others choose", identity.Issuer{Preset: "github-actions"}, []string{"sub=repo:acme/web:ref:refs/heads/main"}, nil, false},
		{"everything", identity.Issuer{Preset: "github-actions"}, []string{"repository=**"}, nil, false},
		{"everything in two parts", identity.Issuer{Preset: "github-actions"}, []string{"repository=*/*"}, nil, false},
		{"any owner", identity.Issuer{Preset: "github-actions"}, []string{"repository_owner=*"}, nil, false},
		{"an owner whose name begins so", identity.Issuer{Preset: "github-actions"}, []string{"repository_owner=acme*"}, nil, false},
		{"a repository of that name, of anybody", identity.Issuer{Preset: "github-actions"}, []string{"repository=*/web"}, nil, false},
		{"an owner whose name begins so, with a repository", identity.Issuer{Preset: "github-actions"}, []string{"repository=acme*/web"}, nil, false},
		{"ids that begin so", identity.Issuer{Preset: "github-actions"}, []string{"repository_owner_id=1*"}, nil, false},
		{"no owner at all", identity.Issuer{Preset: "github-actions"}, []string{"repository=/**"}, nil, false},
		{"one owner or anybody", identity.Issuer{Preset: "github-actions"}, []string{"repository=acme/web", "repository=**"}, nil, false},
		{"anybody at the role, one owner at the environment", identity.Issuer{Preset: "github-actions"}, []string{"repository=**"}, []string{"repository=acme/**"}, true},
		{"a claim of another platform", identity.Issuer{Preset: "github-actions"}, []string{"project_path=acme/web"}, nil, false},

		{"GitLab: nothing", identity.Issuer{Preset: "gitlab"}, nil, nil, false},
		{"GitLab: a project", identity.Issuer{Preset: "gitlab"}, []string{"project_path=acme/shop/web"}, nil, true},
		{"GitLab: a group", identity.Issuer{Preset: "gitlab"}, []string{"namespace_path=acme"}, nil, true},
		{"GitLab: a group and all below", identity.Issuer{Preset: "gitlab"}, []string{"namespace_path=acme/**"}, nil, true},
		{"GitLab: a group whose name begins so", identity.Issuer{Preset: "gitlab"}, []string{"namespace_path=acme**"}, nil, false},
		{"GitLab: a user", identity.Issuer{Preset: "gitlab"}, []string{"user_login=sample"}, nil, false},

		{"GitHub without the preset", identity.Issuer{DiscoveryURL: github}, nil, nil, false},
		{"GitHub with another preset", identity.Issuer{Preset: "gitlab", DiscoveryURL: github}, []string{"project_path=acme/web"}, nil, false},
		{"GitHub's keys without an issuer", identity.Issuer{JWKSURL: github + "/.well-known/jwks"}, nil, nil, false},
		{"GitHub's keys at its whole name", identity.Issuer{JWKSURL: github + "./.well-known/jwks"}, nil, nil, false},
		{"GitHub by its name, keys from a mirror", identity.Issuer{JWKSURL: "https://mirror.example.com/keys", BoundIssuer: github}, nil, nil, false},
		{"Codeberg", identity.Issuer{Preset: "forgejo", DiscoveryURL: codeberg}, nil, nil, false},
		{"Codeberg, an owner", identity.Issuer{Preset: "forgejo", DiscoveryURL: codeberg}, []string{"repository=acme/*"}, nil, true},

		{"one's own GitHub", identity.Issuer{Preset: "github-actions", DiscoveryURL: ghes}, nil, nil, true},
		{"one's own GitLab", identity.Issuer{Preset: "gitlab", DiscoveryURL: "https://git.example.com"}, nil, nil, true},
		{"an enterprise's own issuer", identity.Issuer{Preset: "github-actions", BoundIssuer: github + "/acme"}, nil, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.issuer.Audiences = []string{"vault"}
			issuer, err := test.issuer.Complete()
			require.NoError(t, err)
			binds, why := issuer.Binds(bound(t, test.role...), bound(t, test.env...))
			require.Equal(t, test.binds, binds)
			if !binds {
				require.Contains(t, why, "bind one of ")
			}
		})
	}
	issuer, err := identity.Issuer{Preset: "gitlab", Audiences: []string{"vault"}}.Complete()
	require.NoError(t, err)
	_, why := issuer.Binds()
	require.Contains(t, why, "("+gitlab+")")
	require.Contains(t, why, "project_path, project_id, namespace_path, namespace_id")
}

func TestPresetsHoldTogether(t *testing.T) {
	for _, preset := range identity.Presets() {
		found, ok := identity.PresetOf(preset.Name)
		require.True(t, ok)
		require.Equal(t, preset.Title, found.Title)
		require.Contains(t, preset.Identity, preset.Repository)
		require.NotContains(t, preset.Identity, "sub")
		if preset.Issuer != "" {
			require.Contains(t, preset.Public, preset.Issuer)
		}
	}
	_, ok := identity.PresetOf("")
	require.False(t, ok)
}

func TestKeysThatSignForAnyIssuerAreWarnedOf(t *testing.T) {
	for _, test := range []struct {
		issuer identity.Issuer
		warns  bool
	}{
		{identity.Issuer{JWKSURL: "https://keys.example.com/set"}, true},
		{identity.Issuer{JWKSURL: "https://keys.example.com/set", BoundIssuer: "https://ci.example.com"}, false},
		{identity.Issuer{JWKSURL: "https://keys.example.com/set", Preset: "gitlab"}, false},
		{identity.Issuer{DiscoveryURL: "https://ci.example.com"}, false},
	} {
		test.issuer.Audiences = []string{"vault"}
		require.Equal(t, test.warns, len(test.issuer.Warnings()) == 1, test.issuer)
	}
}
