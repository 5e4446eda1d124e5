// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
)

func eventPaths(e *Engine) []*framework.Path {
	run := func(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
		events, next, err := e.Ledger.Events(ctx, d.Get("after").(string), d.Get("limit").(int))
		if err != nil {
			return nil, err
		}
		return &logical.Response{Data: map[string]any{"events": events, "next": next}}, nil
	}
	shown := map[string]*framework.FieldSchema{
		"events": texts("Events, oldest first, each one flat JSON object."),
		"next":   text("Cursor to go on from."),
	}
	return []*framework.Path{{
		Pattern: "events/?$", DisplayAttrs: display("events"),
		Fields: map[string]*framework.FieldSchema{
			"after": query(text("Cursor: `next` of an earlier answer. Left out: the oldest event first.")),
			"limit": query(number("Events at the most, up to 1,000.", 100)),
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation:   operation("Read what happened.", run, http.StatusOK, shown),
			logical.UpdateOperation: operation("Read what happened, with the cursor in the body.", run, http.StatusOK, shown),
		},
		HelpSynopsis: "What happened, oldest first.", HelpDescription: "Issues, uses, ends, kills, approvals. Read on a schedule, it puts also what Vault does not audit (automatic expiry) into the audit device.",
	}}
}

func settingsPaths(e *Engine) []*framework.Path {
	standard := ledger.DefaultSettings()
	fields := map[string]*framework.FieldSchema{
		"closed_retention": {Type: framework.TypeDurationSecond, Description: "How long the record of a dead token is kept.", Default: seconds(standard.ClosedRetention)},
		"event_retention":  {Type: framework.TypeDurationSecond, Description: "How long events are kept.", Default: seconds(standard.EventRetention)},
	}
	read := func(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
		s, err := e.Ledger.Settings(ctx)
		if err != nil {
			return nil, err
		}
		return &logical.Response{Data: map[string]any{"closed_retention": seconds(s.ClosedRetention), "event_retention": seconds(s.EventRetention)}}, nil
	}
	write := func(patch bool) framework.OperationFunc {
		return func(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
			in := &input{d: d}
			return nil, e.Ledger.ChangeSettings(ctx, func(s *ledger.Settings) error {
				if !patch {
					*s = standard
				}
				in.duration("closed_retention", &s.ClosedRetention)
				in.duration("event_retention", &s.EventRetention)
				return in.err
			})
		}
	}
	reset := func(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
		return nil, e.Ledger.ChangeSettings(ctx, func(s *ledger.Settings) error { *s = standard; return nil })
	}
	return []*framework.Path{{
		Pattern: "settings/?$", DisplayAttrs: display("settings"), Fields: fields,
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation:   operation("Read the settings.", read, http.StatusOK, fields),
			logical.UpdateOperation: operation("Replace the settings.", write(false), http.StatusNoContent, nil),
			logical.PatchOperation:  operation("Change some settings.", write(true), http.StatusNoContent, nil),
			logical.DeleteOperation: operation("Go back to the defaults.", reset, http.StatusNoContent, nil),
		},
		HelpSynopsis: "How long the ledger remembers.", HelpDescription: "Dead tokens' records hold no secret; events are the log.",
	}}
}
