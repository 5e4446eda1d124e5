// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package providertest

import (
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

var (
	platformName = regexp.MustCompile(`^[a-z][a-z0-9]*$`)
	fieldName    = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	builtin      = []string{"build", "deploy", "release", "test"}
)

// testDeclaration judges what a platform says of itself.
func testDeclaration(t *testing.T, h Harness) {
	p := h.Platform
	require.Regexp(t, platformName, p.Name)
	require.NotEmpty(t, p.Title)
	require.NotNil(t, p.Vocabulary)
	require.NotNil(t, p.Connect)
	var names []string
	for _, f := range p.Fields {
		require.Regexp(t, fieldName, f.Name)
		require.NotEmpty(t, f.Description, f.Name)
		require.NotContains(t, names, f.Name)
		names = append(names, f.Name)
	}
	require.True(t, slices.ContainsFunc(p.Fields, func(f providers.Field) bool { return f.Secret }),
		"no field holds a secret: what would it authenticate with?")
	for _, stage := range builtin {
		t.Run("Ceiling/"+stage, func(t *testing.T) { testCeiling(t, p, stage) })
	}
	t.Run("RequiredFields", func(t *testing.T) { testRequiredFields(t, h) })
	t.Run("Fingerprints", func(t *testing.T) { testFingerprints(t, h) })
}

// testCeiling: each built-in ceiling is made of permissions that exist and that
// need no approval.
func testCeiling(t *testing.T, p providers.Platform, stage string) {
	list := p.Ceilings[stage]
	require.NotEmpty(t, list)
	permissions, err := providers.ParsePermissions(p.Name, list)
	require.NoError(t, err)
	for _, permission := range permissions {
		require.NoError(t, p.Vocabulary.Check(permission))
		require.False(t, p.Vocabulary.Destructive(permission), "%s counts as destructive", permission)
	}
}

// testRequiredFields: settings without a required field are the caller's mistake,
// and the error names the field.
func testRequiredFields(t *testing.T, h Harness) {
	site := h.NewSite(t)
	for _, f := range h.Platform.Fields {
		if !f.Required {
			continue
		}
		values := map[string]string{}
		for name, value := range site.Settings.Values {
			values[name] = value
		}
		delete(values, f.Name)
		settings, _ := instrument(t, site.Settings, newSecrets(h.Platform, site))
		settings.Values = values
		_, err := h.Platform.Connect(settings)
		require.Error(t, err, "connects without %s", f.Name)
		require.Equal(t, fault.Invalid, fault.KindOf(err), err)
		require.ErrorContains(t, err, f.Name)
	}
}

// testFingerprints: a fingerprint is a hex SHA-256, and bears any input.
func testFingerprints(t *testing.T, h Harness) {
	site := h.NewSite(t)
	for _, f := range h.Platform.Fields {
		if f.Fingerprint == nil {
			continue
		}
		require.True(t, f.Secret, "%s has a fingerprint and is no secret", f.Name)
		value := site.Settings.Values[f.Name]
		require.Regexp(t, `^[0-9a-f]{64}$`, f.Fingerprint(value))
		require.Equal(t, f.Fingerprint(value), f.Fingerprint(value))
		require.NotPanics(t, func() { f.Fingerprint("not that") })
	}
}

// testBaseURL: the canonical spelling is a fixed point.
func testBaseURL(t *testing.T, b *bench) {
	c := b.connect(t)
	require.NotEmpty(t, c.BaseURL())
	require.NotRegexp(t, `/$`, c.BaseURL())
	again := b.settings
	again.BaseURL = c.BaseURL()
	c2, err := b.platform.Connect(again)
	require.NoError(t, err)
	require.Equal(t, c.BaseURL(), c2.BaseURL())
	require.Zero(t, b.wire.seen(), "Connect does I/O")
}

func testVerify(t *testing.T, b *bench) {
	require.NoError(t, b.connect(t).Verify(t.Context()))
	require.Positive(t, b.wire.seen(), "Verify asked nobody")
}

func testCheck(t *testing.T, b *bench) {
	c := b.connect(t)
	require.NoError(t, c.Check(b.grant(c, b.site.Grant)))
	require.NoError(t, c.Check(b.grant(c, b.site.Narrower)))
	require.Zero(t, b.wire.seen(), "Check does I/O")
}
