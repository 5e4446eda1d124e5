// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package paths is Vault's face of the engine, one file an endpoint: decode what
// was asked, call the engine, encode the answer. No rule lives here.
package paths

import (
	"fmt"
	"slices"

	"github.com/hashicorp/vault/sdk/framework"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/approval"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/catalog"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/connect"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/inventory"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/issue"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/issuers"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/metrics"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/revoke"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/roles"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/tokens"
)

// Engine is what the paths call.
type Engine struct {
	Catalog     *catalog.Catalog
	Roles       *roles.Service
	Connections *connect.Service
	Issuers     *issuers.Service
	Approvals   *approval.Service
	Issue       *issue.Service
	Ledger      *ledger.Ledger
	Revoke      *revoke.Service
	Tokens      *tokens.Service
	Inventory   *inventory.Service
	Metrics     *metrics.Metrics
	// Version is the plugin's, as it is registered.
	Version string
}

// All are the paths of the mount.
func All(e *Engine) []*framework.Path {
	return described(slices.Concat(
		credsPaths(e), explainPaths(e),
		configPaths(e), rotatePaths(e), stagePaths(e), environmentPaths(e), rolePaths(e), issuerPaths(e),
		approvalPaths(e),
		tokenPaths(e), killPaths(e), introspectPaths(e), exposedPaths(e),
		eventPaths(e), reportPaths(e), settingsPaths(e), metricsPaths(e), infoPaths(e),
	))
}

// named matches a name in a path: letters, digits and _, with - and single dots
// between them. It is the framework's, but for two dots in a row, which Vault's storage
// takes for a way out.
func named(group string) string {
	return fmt.Sprintf(`(?P<%s>\w(?:(?:\.?[\w-])*\.?\w)?)`, group)
}

// described gives each operation its path's description: OpenAPI has one of its own
// for each, and generated documentation shows that alone.
func described(paths []*framework.Path) []*framework.Path {
	for _, p := range paths {
		for _, handler := range p.Operations {
			if o, ok := handler.(*framework.PathOperation); ok {
				o.Description = p.HelpDescription
			}
		}
	}
	return paths
}
