// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab"
)

// platforms are what a config can connect to. A new one is a folder under
// providers and a line here.
func platforms() []providers.Platform {
	return []providers.Platform{
		github.Platform(),
		gitlab.Platform(),
		gitea.Platform(),
	}
}
