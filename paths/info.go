// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
)

func infoPaths(e *Engine) []*framework.Path {
	shown := map[string]*framework.FieldSchema{
		"version":        text("Version, as it is registered."),
		"commit":         text("Commit that it was built from, where the build knows."),
		"go_version":     text("Go that it was built with."),
		"platforms":      texts("Platforms that a config can connect to."),
		"storage_format": number("Version of the storage format that it writes.", 0),
	}
	return []*framework.Path{{
		Pattern: "info/?$", DisplayAttrs: display("info"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: operation("Read version and build.", func(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
				var platforms []string
				for _, p := range e.Connections.Platforms() {
					platforms = append(platforms, p.Name)
				}
				return &logical.Response{Data: map[string]any{
					"version": e.Version, "commit": commit(), "go_version": runtime.Version(),
					"platforms": platforms, "storage_format": store.Format,
				}}, nil
			}, http.StatusOK, shown),
		},
		HelpSynopsis: "Version and build of the engine.", HelpDescription: "What runs here.",
	}}
}

func commit() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range build.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

const prometheusText = "text/plain"

// plainText declares that an operation answers with text, which has no fields.
func plainText(o *framework.PathOperation) *framework.PathOperation {
	for _, responses := range o.Responses {
		for i := range responses {
			responses[i].MediaType, responses[i].Description = prometheusText, "Prometheus text."
		}
	}
	return o
}

func metricsPaths(e *Engine) []*framework.Path {
	return []*framework.Path{{
		Pattern: "metrics/?$", DisplayAttrs: display("metrics"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: plainText(operation("Read the metrics.", func(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
				text, err := e.Metrics.Text()
				if err != nil {
					return nil, err
				}
				return &logical.Response{Data: map[string]any{
					logical.HTTPContentType: prometheusText + "; version=0.0.4", logical.HTTPRawBody: []byte(text), logical.HTTPStatusCode: http.StatusOK,
				}}, nil
			}, http.StatusOK, nil)),
		},
		HelpSynopsis: "What the engine counts, as Prometheus text.", HelpDescription: "Mints, revocations, their latency and failures by kind, the queue, live tokens, waits.",
	}}
}
