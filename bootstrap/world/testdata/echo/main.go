// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Command echo is a secrets engine for the tests of package world: it tells its
// pid and an environment variable that it was given.
package main

import (
	"context"
	"os"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

func main() {
	meta := &api.PluginAPIClientMeta{}
	if err := meta.FlagSet().Parse(os.Args[1:]); err != nil {
		os.Exit(2)
	}
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: factory}); err != nil {
		os.Exit(1)
	}
}

func factory(ctx context.Context, config *logical.BackendConfig) (logical.Backend, error) {
	backend := &framework.Backend{
		BackendType:    logical.TypeLogical,
		RunningVersion: "v0.0.7",
		Paths: []*framework.Path{{
			Pattern: "process",
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ReadOperation: &framework.PathOperation{Callback: tell},
			},
		}},
	}
	return backend, backend.Setup(ctx, config)
}

func tell(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	return &logical.Response{Data: map[string]any{
		"pid": os.Getpid(), "word": os.Getenv("ECHO_WORD"), "names": []string{"one", "two"}, "note": "hashed",
	}}, nil
}
