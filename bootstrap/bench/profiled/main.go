// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Command profiled is the engine with a listener for profiles beside it. It is for
// benchmarks alone: the engine's own program has no such listener.
package main

import (
	"net/http"
	_ "net/http/pprof" // serves the profiles
	"os"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/sdk/plugin"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend"
)

// collectAt is the engine's own.
const collectAt = 300

func main() {
	debug.SetGCPercent(collectAt)
	meta := &api.PluginAPIClientMeta{}
	flags := meta.FlagSet()
	address := flags.String("profiles", "", "loopback `address` to serve profiles on")
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: os.Stderr, JSONFormat: true})
	if err := flags.Parse(os.Args[1:]); err != nil {
		logger.Error("flags", "error", err)
		os.Exit(2)
	}
	go listen(*address)
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

// listen tries again: the process that Vault starts to ask for a version may still
// have the port.
func listen(address string) {
	for {
		_ = http.ListenAndServe(address, nil)
		time.Sleep(100 * time.Millisecond)
	}
}
