// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"regexp"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Template is an entry of a role's `repositories` that names a claim: the job's own
// repository.
type Template struct {
	claim string
}

var (
	template = regexp.MustCompile(`\A\{\{ *claims\.([A-Za-z0-9_]+) *\}\}\z`)
	// fullName is a repository with its owner, and on GitLab its groups, as all
	// platforms spell them: nothing in it can be taken for a pattern or a path.
	fullName = regexp.MustCompile(`\A[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)+\z`)
)

// ParseTemplate reads an entry of `repositories`. It is false for an entry without
// braces, which is a name or a pattern. Its errors are fault.Invalid for the given
// field.
func ParseTemplate(field, entry string) (Template, bool, error) {
	if !strings.Contains(entry, "{{") && !strings.Contains(entry, "}}") {
		return Template{}, false, nil
	}
	parts := template.FindStringSubmatch(entry)
	if parts == nil {
		return Template{}, false, fault.InvalidField(field, "%s: a claim is named alone, such as {{claims.repository}}", show(entry))
	}
	return Template{claim: parts[1]}, true, nil
}

// Claim is the claim that is named.
func (t Template) Claim() string { return t.claim }

// Check says whether the issuer vouches for the claim as the name of a repository
// of the given config: fault.Invalid for the given field where it does not. A name
// is worth nothing at another platform than the one that vouches for it.
func (t Template) Check(field string, issuer Issuer, config string) error {
	preset, ok := PresetOf(issuer.Preset)
	if !ok {
		return fault.InvalidField(field, "{{claims.%s}}: issuer %q has no preset, so nothing says which of its claims is a repository; write preset (%s) there, or name the repositories",
			t.claim, issuer.Name, strings.Join(presetNames(), ", "))
	}
	if t.claim != preset.Repository {
		return fault.InvalidField(field, "{{claims.%s}}: issuer %q (%s) vouches for a repository's name only in {{claims.%s}}",
			t.claim, issuer.Name, preset.Name, preset.Repository)
	}
	if issuer.Config != config {
		return fault.InvalidField(field, "{{claims.%s}}: issuer %q names repositories of config %q, the role's config is %q; write config=%s at the issuer if its jobs run there",
			t.claim, issuer.Name, issuer.Config, config, config)
	}
	return nil
}

// Resolve is the full name of the job's own repository, owner first. It is
// fault.Denied when the claim is not one.
func (t Template) Resolve(claims Claims) (string, error) {
	value, ok := claims.Text(t.claim)
	if !ok {
		return "", fault.New(fault.Denied, "identity: the role's repositories name claim %s, which %s", t.claim, claims.describe(t.claim))
	}
	if !fullName.MatchString(value) || dotted(value) {
		return "", fault.New(fault.Denied, "identity: claim %s is %s, which is not a repository's full name, such as acme/web", t.claim, show(value))
	}
	return value, nil
}

// dotted reports whether a segment would climb in a URL.
func dotted(name string) bool {
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
