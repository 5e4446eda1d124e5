// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// The kinds of token.
const (
	deployToken  = "deploy"
	projectToken = "project"
)

// plan is the narrowest token for a list of permissions.
type plan struct {
	kind   string
	scopes []string
	// access is the access level of a project access token.
	access int
	// asked are the permissions that the plan is for.
	asked []providers.Permission
}

// planFor chooses a deploy token where it carries everything: it has no API, no
// user and an end to the second. Else a project access token with the least
// access level that all the permissions need.
func planFor(permissions []providers.Permission) (plan, error) {
	if len(permissions) == 0 {
		return plan{}, fault.InvalidField("permissions", "must not be empty")
	}
	deploy := plan{kind: deployToken, asked: permissions}
	project := plan{kind: projectToken, asked: permissions}
	carried := true
	for _, p := range permissions {
		r, ok := rightOf(p)
		if !ok {
			return plan{}, asField("permissions", vocabulary{}.Check(p))
		}
		carried = carried && len(r.deploy) > 0
		deploy.scopes = append(deploy.scopes, r.deploy...)
		project.scopes = append(project.scopes, r.project...)
		project.access = max(project.access, r.access)
	}
	if carried {
		return deploy, nil
	}
	return project, project.checkPackages()
}

// checkPackages: a project access token has no scope for packages but the API's,
// and the API is given only where it is written out.
func (p plan) checkPackages() error {
	packages, api := p.level("packages"), p.level("api")
	if packages == "" || api.Allows(packages) {
		return nil
	}
	return fault.InvalidField("permissions", "no single GitLab token carries packages=%s together with %s: "+
		"a deploy token has repository=read, registry and packages, a project access token has no scope for packages but the whole API. "+
		"Make two roles, or write api=%s out", packages, strings.Join(p.others(), ", "), packages)
}

// level is the asked level of a resource; empty where it was not asked.
func (p plan) level(resource string) providers.Level {
	for _, asked := range p.asked {
		if asked.Resource == resource {
			return asked.Level
		}
	}
	return ""
}

// others are the asked permissions that a deploy token cannot carry.
func (p plan) others() []string {
	var list []string
	for _, asked := range p.asked {
		if r, _ := rightOf(asked); len(r.deploy) == 0 {
			list = append(list, asked.String())
		}
	}
	return list
}

// granted says what the platform's answer amounts to. More scopes or a higher
// access level than were asked show as permissions that nobody asked for.
func (p plan) granted(scopes []string, access int) []providers.Permission {
	var list []providers.Permission
	add := func(granted providers.Permission) {
		i := slices.IndexFunc(list, func(have providers.Permission) bool { return have.Resource == granted.Resource })
		switch {
		case i < 0:
			list = append(list, granted)
		case granted.Level.Allows(list[i].Level):
			list[i].Level = granted.Level
		}
	}
	for _, scope := range scopes {
		granted := permissionOf(scope)
		add(granted)
		if packages := p.level("packages"); granted.Resource == "api" && packages != "" && granted.Level.Allows(packages) {
			add(providers.Permission{Resource: "packages", Level: packages})
		}
	}
	if p.kind == projectToken && access > p.access {
		add(providers.Permission{Resource: "access_level", Level: providers.Admin})
	}
	return list
}

// name is what GitLab allows in one part of a path.
var name = regexp.MustCompile(`^[\pL\pN_.+-]+$`)

// Check refuses what one token cannot be: several projects, or permissions that no
// single kind of token carries.
func (c *connection) Check(g providers.Grant) error {
	if g.Account == "" {
		return fault.InvalidField("repositories", "name the group too: group/project or group/subgroup/project")
	}
	if len(g.Repositories) == 0 {
		return fault.InvalidField("repositories", "must not be empty")
	}
	for _, repository := range g.Repositories {
		if repository == "" || strings.Contains(repository, "/") {
			return fault.InvalidField("repositories", "%q is not a project below %s", repository, g.Account)
		}
	}
	if len(g.Repositories) > 1 && (g.Narrowed || !slices.ContainsFunc(g.Repositories, isPattern)) {
		return fault.InvalidField("repositories", "a GitLab token reaches one project, and a group's would reach too many: "+
			"make one role a project, or a role with a pattern whose readers name one project each (creds/<role>/<project>)")
	}
	_, err := planFor(g.Permissions)
	return err
}

// isPattern reports whether a repository is not yet a name.
func isPattern(repository string) bool { return strings.ContainsAny(repository, `*?[]{}\`) }

// checkMintable is Check for a grant that is to be made now.
func (c *connection) checkMintable(g providers.Grant) error {
	if err := c.Check(g); err != nil {
		return err
	}
	if len(g.Repositories) > 1 {
		return fault.InvalidField("repositories", "a GitLab token reaches one project: name one")
	}
	for _, part := range append(strings.Split(g.Account, "/"), g.Repositories[0]) {
		if !name.MatchString(part) || strings.Trim(part, ".") == "" {
			return fault.InvalidField("repositories", "%q is not a name in GitLab", part)
		}
	}
	if g.TokenID == "" {
		return fault.New(fault.Internal, "gitlab: a token needs a name to be found by")
	}
	return nil
}

// asField says which field an error of the vocabulary is about.
func asField(field string, err error) error { return fault.InvalidField(field, "%s", err) }
