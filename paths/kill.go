// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/revoke"
)

func killPaths(e *Engine) []*framework.Path {
	fields := map[string]*framework.FieldSchema{
		"role":        text("Tokens of this role."),
		"stage":       text("Tokens of this stage."),
		"environment": text("Tokens of this environment."),
		"owner":       text("Tokens of this owner."),
		"config":      text("Tokens made through this config."),
		"repository":  text("Tokens that reach this repository: name or account/name."),
		"entity_id":   text("Tokens issued to this entity."),
	}
	shown := map[string]*framework.FieldSchema{
		"kill_id":    text("Name of the kill in report and events."),
		"filter":     text("What was meant."),
		"ordered_at": text("When."),
		"matched":    number("Live tokens that were meant.", 0),
		"revoked":    number("Those that are dead.", 0),
		"queued":     number("Those that the queue goes on to kill.", 0),
		"done":       yesNo("All that were meant have been seen to."),
	}
	return []*framework.Path{{
		Pattern: "revoke/?$", Fields: fields,
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: "ci", OperationVerb: "revoke", OperationSuffix: "tokens"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: operation("Kill all tokens that match.", func(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
				caller := callerOf(req)
				order, err := e.Revoke.Kill(ctx, readFilter(d), map[string]any{"ordered_by": caller.Name(), "request_id": caller.RequestID})
				if err != nil {
					return nil, err
				}
				return &logical.Response{Data: showOrder(order)}, nil
			}, http.StatusOK, shown),
		},
		HelpSynopsis: "Kill all tokens that match.", HelpDescription: "Give at least one field; a token must match all that are given. Tokens that are being made at the moment are caught too.",
	}}
}

func readFilter(d *framework.FieldData) revoke.Filter {
	get := func(field string) string { return d.Get(field).(string) }
	return revoke.Filter{
		Role: get("role"), Stage: get("stage"), Environment: get("environment"), Owner: get("owner"),
		Config: get("config"), Repository: get("repository"), EntityID: get("entity_id"),
	}
}
