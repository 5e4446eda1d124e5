// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package providers

import (
	"regexp"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Level is how much of a resource a permission allows. Each allows what those
// before it allow.
type Level string

// The levels, least first.
const (
	Read  Level = "read"
	Write Level = "write"
	Admin Level = "admin"
)

var ranks = map[Level]int{Read: 1, Write: 2, Admin: 3}

// Allows reports whether having this level includes having the other.
func (l Level) Allows(other Level) bool {
	return ranks[l] > 0 && ranks[other] > 0 && ranks[l] >= ranks[other]
}

// Permission is one resource and the level of access to it, written
// `resource=level`.
type Permission struct {
	Resource string
	Level    Level
}

func (p Permission) String() string { return p.Resource + "=" + string(p.Level) }

var resource = regexp.MustCompile(`^[a-z][a-z0-9_]{0,99}$`)

// ParsePermission reads `resource=level`. Its errors are fault.Invalid for the
// given field.
func ParsePermission(field, s string) (Permission, error) {
	name, level, found := strings.Cut(s, "=")
	if !found {
		return Permission{}, fault.InvalidField(field, "%q is not resource=level, such as contents=read", s)
	}
	p := Permission{Resource: name, Level: Level(level)}
	if !resource.MatchString(p.Resource) {
		return Permission{}, fault.InvalidField(field, "%q: the resource must be lower-case letters, digits and _, such as pull_requests", s)
	}
	if ranks[p.Level] == 0 {
		return Permission{}, fault.InvalidField(field, "%q: the level must be read, write or admin", s)
	}
	return p, nil
}

// ParsePermissions reads a list of `resource=level`. A resource that stands twice
// is fault.Invalid: which of the two was meant?
func ParsePermissions(field string, list []string) ([]Permission, error) {
	seen := make(map[string]bool, len(list))
	permissions := make([]Permission, 0, len(list))
	for _, s := range list {
		p, err := ParsePermission(field, s)
		if err != nil {
			return nil, err
		}
		if seen[p.Resource] {
			return nil, fault.InvalidField(field, "%s stands there twice; write it once, with the level that is meant", p.Resource)
		}
		seen[p.Resource] = true
		permissions = append(permissions, p)
	}
	return permissions, nil
}

// FormatPermissions writes permissions as a list of `resource=level`.
func FormatPermissions(permissions []Permission) []string {
	list := make([]string, len(permissions))
	for i, p := range permissions {
		list[i] = p.String()
	}
	return list
}
