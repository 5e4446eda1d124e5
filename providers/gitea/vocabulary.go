// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea

import (
	"slices"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// vocabulary is Gitea's token scopes: read:issue is issue=read.
type vocabulary struct{}

// resources are those of which a token may have read or write.
var resources = []string{"activitypub", "issue", "misc", "notification", "organization", "package", "repository"}

const allowed = "allowed are activitypub, issue, misc, notification, organization, package, repository (read or write) and user=read"

// Check implements providers.Vocabulary.
func (vocabulary) Check(p providers.Permission) error {
	switch {
	case p.Resource == "all":
		return fault.InvalidField("permissions", "%s: a token for everything can make tokens that never end; %s", p, allowed)
	case p.Resource == "admin":
		return fault.InvalidField("permissions", "%s: a token for the site's administration can make tokens that never end; %s", p, allowed)
	case p.Resource == "user" && p.Level == providers.Read:
		return nil
	case p.Resource == "user":
		return fault.InvalidField("permissions", "%s: a token that can change its account can make tokens that never end; %s", p, allowed)
	case !slices.Contains(resources, p.Resource):
		return fault.InvalidField("permissions", "%s: Gitea knows no such permission; %s", p, allowed)
	case p.Level != providers.Read && p.Level != providers.Write:
		return fault.InvalidField("permissions", "%s: Gitea has the levels read and write; %s", p, allowed)
	}
	return nil
}

// Destructive implements providers.Vocabulary. What a collaborator with write
// access can do stays within the repository's code and artifacts: settings,
// secrets, hooks and deletion need more. An organisation is more than that.
func (vocabulary) Destructive(p providers.Permission) bool {
	return p.Resource == "organization" && p.Level != providers.Read
}

// scopes are permissions as Gitea writes them.
func scopes(permissions []providers.Permission) []string {
	list := make([]string, len(permissions))
	for i, p := range permissions {
		list[i] = string(p.Level) + ":" + p.Resource
	}
	return list
}

// granted reads the scopes of a token. One that is not of the form level:resource
// ("all", say) is Nonsense: we asked for none such.
func granted(scopes []string) ([]providers.Permission, error) {
	level := map[string]providers.Level{}
	var order []string
	for _, scope := range scopes {
		l, resource, ok := strings.Cut(scope, ":")
		if !ok || resource == "" || l != string(providers.Read) && l != string(providers.Write) {
			return nil, fault.New(fault.Nonsense, "gitea: the token has a scope that was not asked for: %q", scope)
		}
		if _, seen := level[resource]; !seen {
			order = append(order, resource)
		}
		if !level[resource].Allows(providers.Level(l)) {
			level[resource] = providers.Level(l)
		}
	}
	permissions := make([]providers.Permission, len(order))
	for i, resource := range order {
		permissions[i] = providers.Permission{Resource: resource, Level: level[resource]}
	}
	return permissions, nil
}

// needed is the least access to a repository with which these permissions can be
// used. What a token may do with it, its own scopes still decide.
func needed(permissions []providers.Permission) providers.Level {
	for _, p := range permissions {
		if p.Level == providers.Write && (p.Resource == "repository" || p.Resource == "issue") {
			return providers.Write
		}
	}
	return providers.Read
}
