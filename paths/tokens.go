// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/tokens"
)

func tokenPaths(e *Engine) []*framework.Path {
	h := tokensHandler{e}
	id := map[string]*framework.FieldSchema{"id": text("Token id.")}
	use := join(id, map[string]*framework.FieldSchema{
		"action": text("What it was used for, such as push or deploy. Required."),
		"target": text("On what."),
		"token":  secret("The token, from whoever it was not issued to."),
	})
	one := "tokens/" + named("id")
	return []*framework.Path{
		{
			Pattern: "tokens/?$", DisplayAttrs: display("tokens"),
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ListOperation: operation("List the tokens that are not dead.", h.list, http.StatusOK, listedWithInfo()),
			},
			HelpSynopsis: "List the tokens that are not dead yet.", HelpDescription: "Active and revoking ones, with a line of facts each.",
		},
		{
			Pattern: one, DisplayAttrs: display("token"), Fields: id,
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ReadOperation: operation("Read the record of a token.", h.read, http.StatusOK, recordFields()),
			},
			HelpSynopsis: "Read the record of a token.", HelpDescription: "Never the token itself.",
		},
		{
			Pattern: one + "/use", DisplayAttrs: display("token-use"), Fields: use,
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.UpdateOperation: operation("Record a use of a token.", h.use, http.StatusOK, join(factFields(), map[string]*framework.FieldSchema{
					"action": text("As recorded."), "target": text("As recorded, without what may be a secret."),
				})),
			},
			HelpSynopsis: "Record a use of a token.", HelpDescription: "By whom it was issued to, or by whoever shows the token.",
		},
		{
			Pattern: one + "/revoke", DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: "ci", OperationVerb: "revoke", OperationSuffix: "token"}, Fields: id,
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.UpdateOperation: operation("Kill a token now.", h.revoke, http.StatusOK, recordFields()),
			},
			HelpSynopsis: "Kill a token now.", HelpDescription: "Whatever its lease says. Killing a dead token is success.",
		},
	}
}

type tokensHandler struct{ e *Engine }

func (h tokensHandler) list(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	ids, info := []string{}, map[string]any{}
	err := h.e.Ledger.EachLive(ctx, func(live *ledger.Live) bool {
		ids = append(ids, live.TokenID)
		info[live.TokenID] = map[string]any{
			"status": string(live.Status), "role": live.Role, "stage": live.Stage, "environment": live.Environment,
			"owner": live.Owner, "organization": live.Organization, "repositories": list(live.Repositories), "permissions": list(live.Permissions),
			"issued_at": ledger.Stamp(live.IssuedAt), "lease_until": ledger.Stamp(live.LeaseUntil), "display_name": live.DisplayName,
			"attempts": live.Attempts, "last_error": live.LastError,
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return logical.ListResponseWithInfo(ids, info), nil
}

func (h tokensHandler) read(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	record, err := h.e.Ledger.Find(ctx, d.Get("id").(string))
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: showRecord(record)}, nil
}

func (h tokensHandler) use(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	use := tokens.Use{
		TokenID: d.Get("id").(string), Action: d.Get("action").(string), Target: d.Get("target").(string),
		Token: d.Get("token").(string), Caller: callerOf(req),
	}
	record, recorded, err := h.e.Tokens.Used(ctx, use)
	if err != nil {
		return nil, err
	}
	data := showFacts(record)
	data["action"], data["target"] = recorded.Action, recorded.Target
	return &logical.Response{Data: data}, nil
}

func (h tokensHandler) revoke(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	id := d.Get("id").(string)
	if _, err := h.e.Ledger.Find(ctx, id); err != nil {
		return nil, err
	}
	if err := h.e.Revoke.Token(ctx, id, ledger.ByKill); err != nil {
		return nil, err
	}
	record, err := h.e.Ledger.Find(ctx, id)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: showRecord(record)}, nil
}
