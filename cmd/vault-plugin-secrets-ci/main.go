// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Command vault-plugin-secrets-ci is the secrets engine as a Vault plugin. Vault
// starts it; it is of no use by itself.
package main

import (
	"os"
	"runtime/debug"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/sdk/plugin"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend"
)

// collectAt is how much the heap grows before it is collected, in percent. What is
// live is a few megabytes and each credential allocates a tenth of one: at Go's
// default of 100 a tenth of the time under load goes into collecting. GOGC in the
// environment has the last word.
const collectAt = 300

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	meta := &api.PluginAPIClientMeta{}
	flags := meta.FlagSet()
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: os.Stderr, JSONFormat: true})
	if err := flags.Parse(os.Args[1:]); err != nil {
		logger.Error("flags", "error", err)
		os.Exit(2)
	}
	err := plugin.ServeMultiplex(&plugin.ServeOpts{
		BackendFactoryFunc: backend.Factory,
		TLSProviderFunc:    api.VaultPluginTLSProvider(meta.GetTLSConfig()),
		Logger:             logger,
	})
	if err != nil {
		logger.Error("the plugin ended", "error", err)
		os.Exit(1)
	}
}
