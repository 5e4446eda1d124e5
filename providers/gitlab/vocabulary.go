// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Access levels of GitLab's members. Our own user is a maintainer; so would a token
// be by default.
const (
	reporter   = 20
	developer  = 30
	maintainer = 40
)

// right is what GitLab needs for one permission.
type right struct {
	// deploy are the scopes of a deploy token; none where it cannot carry it.
	deploy []string
	// project are the scopes of a project access token; none where it has no
	// narrower one than the API's.
	project []string
	// access is the least access level whose members may do it in a private project.
	access int
	// destructive rights reach beyond code and artifacts.
	destructive bool
}

// rightOf is the vocabulary: what is not in it does not exist.
func rightOf(p providers.Permission) (right, bool) {
	switch p.String() {
	case "repository=read":
		return right{deploy: []string{"read_repository"}, project: []string{"read_repository"}, access: reporter}, true
	case "repository=write":
		return right{project: []string{"write_repository"}, access: developer}, true
	case "registry=read":
		return right{deploy: []string{"read_registry"}, project: []string{"read_registry"}, access: reporter}, true
	case "registry=write": // a push reads too, and write_registry alone does not
		both := []string{"read_registry", "write_registry"}
		return right{deploy: both, project: both, access: developer}, true
	case "packages=read":
		return right{deploy: []string{"read_package_registry"}, access: reporter}, true
	case "packages=write":
		return right{deploy: []string{"read_package_registry", "write_package_registry"}, access: developer}, true
	case "api=read":
		return right{project: []string{"read_api"}, access: reporter}, true
	case "api=write":
		return right{project: []string{"api"}, access: developer, destructive: true}, true
	case "ai_features=write":
		return right{project: []string{"ai_features"}, access: reporter}, true
	case "k8s_proxy=write":
		return right{project: []string{"k8s_proxy"}, access: developer, destructive: true}, true
	}
	return right{}, false
}

// allowed is the vocabulary for error messages.
const allowed = "repository, registry, packages, api (read or write), ai_features, k8s_proxy (write)"

// vocabulary implements providers.Vocabulary.
type vocabulary struct{}

// Check explains what GitLab has and why some of it is never given.
func (vocabulary) Check(p providers.Permission) error {
	if _, ok := rightOf(p); ok {
		return nil
	}
	switch p.Resource {
	case "self_rotate":
		return fault.New(fault.Invalid, "%s: a token that can rotate itself outlives its lease; it is never given", p)
	case "create_runner", "manage_runner", "runner":
		return fault.New(fault.Invalid, "%s: a runner and its token would outlive the lease, and it takes a Maintainer; it is never given", p)
	case "repository", "registry", "packages", "api":
		return fault.New(fault.Invalid, "%s: %s has the levels read and write", p, p.Resource)
	case "ai_features", "k8s_proxy":
		return fault.New(fault.Invalid, "%s: %s has the level write only", p, p.Resource)
	}
	return fault.New(fault.Invalid, "%s: GitLab has no such permission; there are %s", p, allowed)
}

// Destructive: with the whole API a token can rewrite issues, pipelines and
// releases, and with a cluster it leaves its project altogether.
func (vocabulary) Destructive(p providers.Permission) bool {
	r, _ := rightOf(p)
	return r.destructive
}

// permissionOf is the permission that a scope in an answer stands for. One that is
// not in the vocabulary stands for itself, so that nothing granted goes unseen.
func permissionOf(scope string) providers.Permission {
	resource, level := scope, providers.Write
	switch scope {
	case "api", "ai_features", "k8s_proxy":
	case "read_api":
		resource, level = "api", providers.Read
	case "read_package_registry":
		resource, level = "packages", providers.Read
	case "write_package_registry":
		resource = "packages"
	case "read_repository", "read_registry":
		resource, level = strings.TrimPrefix(scope, "read_"), providers.Read
	case "write_repository", "write_registry":
		resource = strings.TrimPrefix(scope, "write_")
	}
	return providers.Permission{Resource: resource, Level: level}
}
