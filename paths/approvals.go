// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"
	"maps"
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/approval"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/issue"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
)

func approvalPaths(e *Engine) []*framework.Path {
	h := approvalsHandler{e}
	role := map[string]*framework.FieldSchema{"role": name("role")}
	id := map[string]*framework.FieldSchema{"role": name("role"), "id": text("Approval.")}
	ask := join(role, map[string]*framework.FieldSchema{
		"reason":   text("What the credential is for. Required."),
		"id_token": secret("The job's own OIDC token, where the role has an issuer."),
	})
	comment := join(id, map[string]*framework.FieldSchema{"comment": text("Why.")})
	pattern := "approvals/" + named("role")
	one := pattern + "/" + named("id")
	return []*framework.Path{
		{
			Pattern: "approvals/?$", DisplayAttrs: display("approval-roles"),
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ListOperation: operation("List the roles that have approvals.", h.roles, http.StatusOK, listed()),
			},
			HelpSynopsis: "List the roles that have approvals.", HelpDescription: "Each role's approvals are listed below it.",
		},
		{
			Pattern: pattern + "/?", DisplayAttrs: display("approvals"), Fields: ask,
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.UpdateOperation: operation("Ask for an approval.", h.ask, http.StatusOK, askedFields()),
				logical.ListOperation:   operation("List a role's approvals.", h.list, http.StatusOK, listedWithInfo()),
			},
			HelpSynopsis: "Ask others to approve a credential.", HelpDescription: "An approval is for this role, this caller and, with an issuer, this very run, commit and ref. It is used once, ends by itself, and is void once the role, its stage, environment, config or issuer was written again, be it as it was. At most 20 requests of a caller for a role wait for a decision.",
		},
		{
			Pattern: one, DisplayAttrs: display("approval"), Fields: id,
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ReadOperation: operation("Read an approval.", h.read, http.StatusOK, approvalFields()),
			},
			HelpSynopsis: "Read an approval.", HelpDescription: "Who asks, for what, and who decided.",
		},
		h.decision(one+"/approve", "approve", comment, true),
		h.decision(one+"/deny", "deny", comment, false),
	}
}

type approvalsHandler struct{ e *Engine }

func (h approvalsHandler) decision(pattern, verb string, fields map[string]*framework.FieldSchema, approve bool) *framework.Path {
	return &framework.Path{
		Pattern: pattern, DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: "ci", OperationVerb: verb, OperationSuffix: "approval"}, Fields: fields,
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: operation("Decide: "+verb+".", func(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
				view, err := h.e.Issue.Decide(ctx, d.Get("role").(string), d.Get("id").(string), approval.Decision{
					EntityID: req.EntityID, DisplayName: req.DisplayName, Approve: approve, Comment: d.Get("comment").(string),
				})
				if err != nil {
					return nil, err
				}
				return &logical.Response{Data: showApproval(view)}, nil
			}, http.StatusOK, approvalFields()),
		},
		HelpSynopsis: "Decide on an approval: " + verb + ".", HelpDescription: "Vault policies on this path say who may. Nobody approves what they asked for.",
	}
}

func (h approvalsHandler) roles(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	names, err := h.e.Approvals.Roles(ctx)
	if err != nil {
		return nil, err
	}
	return logical.ListResponse(names), nil
}

func (h approvalsHandler) list(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	role := d.Get("role").(string)
	ids, err := h.e.Approvals.List(ctx, role)
	if err != nil {
		return nil, err
	}
	info := map[string]any{}
	for _, id := range ids {
		view, err := h.e.Issue.Approval(ctx, role, id)
		if err != nil {
			return nil, err
		}
		info[id] = map[string]any{"status": string(view.Status), "reason": view.Reason, "display_name": view.DisplayName, "requested_at": ledger.Stamp(view.RequestedAt)}
	}
	return logical.ListResponseWithInfo(ids, info), nil
}

func (h approvalsHandler) ask(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	view, err := h.e.Issue.Ask(ctx, d.Get("role").(string), d.Get("reason").(string), d.Get("id_token").(string), callerOf(req))
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{
		"approval_id": view.ID, "status": string(view.Status), "required": view.Required, "expires_at": ledger.Stamp(view.ExpiresAt()),
	}}, nil
}

func (h approvalsHandler) read(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	view, err := h.e.Issue.Approval(ctx, d.Get("role").(string), d.Get("id").(string))
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: showApproval(view)}, nil
}

func askedFields() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"approval_id": text("Name of the approval."),
		"status":      text("pending, approved, denied, used, expired or void."),
		"required":    number("How many others must approve.", 0),
		"expires_at":  text("When it ends by itself."),
	}
}

func approvalFields() map[string]*framework.FieldSchema {
	return join(askedFields(), jobFields(), map[string]*framework.FieldSchema{
		"role":         name("role"),
		"reason":       text("What the credential is for."),
		"entity_id":    text("Entity that asks."),
		"display_name": text("Display name that asks."),
		"requested_at": text("When it was asked for."),
		"approved_by":  texts("Who approved."),
		"decisions":    texts("Each decision: who, what, when and why."),
		"used_by":      text("Token that it was used for."),
	})
}

func showApproval(v issue.View) map[string]any {
	decisions := []string{}
	for _, d := range v.Decisions {
		what := "denied"
		if d.Approve {
			what = "approved"
		}
		decisions = append(decisions, d.DisplayName+" "+what+" at "+ledger.Stamp(d.At)+": "+d.Comment)
	}
	var job map[string]string
	if v.Job != nil {
		job = v.Job.Facts()
	}
	data := showJob(job)
	maps.Copy(data, map[string]any{
		"approval_id": v.ID, "status": string(v.Status), "required": v.Required, "expires_at": ledger.Stamp(v.ExpiresAt()),
		"role": v.Role, "reason": v.Reason, "entity_id": v.EntityID, "display_name": v.DisplayName,
		"requested_at": ledger.Stamp(v.RequestedAt), "approved_by": list(v.Approvers()), "decisions": decisions, "used_by": v.UsedBy,
	})
	return data
}
