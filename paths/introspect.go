// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
)

func introspectPaths(e *Engine) []*framework.Path {
	shown := join(factFields(), jobFields(), map[string]*framework.FieldSchema{
		"active":       yesNo("It is ours and live."),
		"scope":        text("Its permissions, separated by spaces."),
		"iat":          number("When it was made, in seconds since 1970.", 0),
		"exp":          number("When it ends at the latest, in seconds since 1970.", 0),
		"sub":          text("Its role."),
		"iss":          text("Platform that made it."),
		"lease_until":  text("When its lease ends."),
		"entity_id":    text("Entity that it was issued to."),
		"display_name": text("Display name that it was issued to."),
	})
	return []*framework.Path{{
		Pattern: "introspect/?$", DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: "ci", OperationVerb: "introspect", OperationSuffix: "token"},
		Fields: map[string]*framework.FieldSchema{"token": secret("The token. Required.")},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: operation("Ask whether a token is ours and live.", func(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
				record, err := e.Tokens.Introspect(ctx, d.Get("token").(string), callerOf(req))
				if err != nil {
					return nil, err
				}
				return &logical.Response{Data: showIntrospection(record)}, nil
			}, http.StatusOK, shown),
		},
		HelpSynopsis: "What a token that you were shown may do.", HelpDescription: "RFC 7662 style: active is false for a token that is dead or not ours, and nothing more is said.",
	}}
}

func showIntrospection(r *ledger.Record) map[string]any {
	if r == nil {
		return map[string]any{"active": false}
	}
	data := showFacts(r)
	for fact, value := range showJob(r.Job) {
		data[fact] = value
	}
	data["active"], data["scope"] = true, strings.Join(r.Permissions, " ")
	data["iat"], data["exp"] = r.IssuedAt.Unix(), r.ExpiresAt.Unix()
	data["sub"], data["iss"] = r.Role, r.BaseURL
	data["lease_until"], data["entity_id"], data["display_name"] = ledger.Stamp(r.LeaseUntil), r.EntityID, r.DisplayName
	return data
}

func exposedPaths(e *Engine) []*framework.Path {
	shown := map[string]*framework.FieldSchema{
		"ours":         yesNo("The token was issued here."),
		"was_live":     yesNo("It could still be used when it was reported."),
		"status":       text("Its status now."),
		"token_id":     text("Token id."),
		"token_sha256": text("Standard base64 of its SHA-256."),
		"role":         name("role"),
		"environment":  text("Environment."),
		"owner":        text("Team that answers for it."),
		"organization": text("Account that owns the repositories."),
		"repositories": texts("Repositories that it reached."),
		"permissions":  texts("What it could do."),
		"where":        text("As recorded, without what may be a secret."),
	}
	return []*framework.Path{{
		Pattern: "exposed/?$", DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: "ci", OperationVerb: "report", OperationSuffix: "exposed-token"},
		Fields: map[string]*framework.FieldSchema{
			"token": secret("The token that was found. Required."),
			"where": text("Where it was found."),
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: operation("Report a token that was found.", func(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
				x, err := e.Tokens.Exposed(ctx, d.Get("token").(string), d.Get("where").(string), callerOf(req))
				if err != nil {
					return nil, err
				}
				data := map[string]any{"ours": x.Record != nil, "was_live": x.WasLive, "where": x.Where}
				if r := x.Record; r != nil {
					data["status"], data["token_id"], data["token_sha256"] = string(r.Status), r.TokenID, r.TokenSHA256
					data["role"], data["environment"], data["owner"] = r.Role, r.Environment, r.Owner
					data["organization"], data["repositories"], data["permissions"] = r.Organization, list(r.Repositories), list(r.Permissions)
				}
				resp := &logical.Response{Data: data}
				if x.Record == nil {
					resp.AddWarning("no token of ours, and nothing was done: is all of it there? If it is another's, revoke it where it was made")
				}
				return resp, nil
			}, http.StatusOK, shown),
		},
		HelpSynopsis: "Report a token that was found where it should not be.", HelpDescription: "If it is ours it dies now, and its record says where it was.",
	}}
}
