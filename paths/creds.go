// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/issue"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// SecretType names our leases in Vault.
const SecretType = "ci_token"

// tokenIDKey is the one thing that a lease keeps: all else is in the ledger.
const tokenIDKey = "token_id"

func askFields() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"role":         name("role"),
		"repositories": query(texts("Repositories to narrow the credential to; required where the role allows by pattern.")),
		"permissions":  query(texts("Permissions to narrow the credential to, as resource=level.")),
		"ttl":          query(duration("Shorter first life than the role's.")),
		"id_token":     secret("The job's own OIDC token, where the role has an issuer. In the request body only."),
		"approval_id":  text("Approval to use, where one is needed. In the request body only."),
	}
}

func credsPaths(e *Engine) []*framework.Path {
	h := credsHandler{e, leaseSecret(e)}
	one := map[string]*framework.FieldSchema{"repository": text("The one repository to narrow the credential to: web or acme/web.")}
	pattern := "creds/" + named("role")
	ops := func() map[logical.Operation]framework.OperationHandler {
		return map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation:   operation("Make a credential.", h.handle, http.StatusOK, credentialFields()),
			logical.UpdateOperation: operation("Make a credential, narrowed or with proof.", h.handle, http.StatusOK, credentialFields()),
		}
	}
	help := "A read makes a token at the platform, just in time, with a lease. When the lease ends the token is revoked there. What is asked can only narrow what the role allows."
	return []*framework.Path{
		{
			Pattern: pattern, Fields: askFields(), Operations: ops(), DisplayAttrs: display("credential"),
			HelpSynopsis: "Make a credential of a role.", HelpDescription: help,
		},
		{
			Pattern: pattern + "/(?P<repository>.+)", Fields: join(askFields(), one), Operations: ops(), DisplayAttrs: display("credential-for-repository"),
			HelpSynopsis: "Make a credential of a role for one repository.", HelpDescription: help,
		},
	}
}

type credsHandler struct {
	e      *Engine
	secret *framework.Secret
}

func (h credsHandler) handle(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	ask, err := askOf(req, d)
	if err != nil {
		return nil, err
	}
	credential, err := h.e.Issue.Issue(ctx, ask)
	if err != nil {
		return nil, err
	}
	resp := h.secret.Response(showCredential(credential), map[string]any{tokenIDKey: credential.TokenID})
	resp.Secret.TTL, resp.Secret.MaxTTL = credential.Lease.TTL, credential.Lease.MaxTTL
	// What no renewal could prolong is better read anew in time: clients know by this.
	resp.Secret.Renewable = credential.Lease.MaxTTL > credential.Lease.TTL
	resp.Warnings = credential.Warnings
	return resp, nil
}

// askOf decodes a request for a credential. Proofs are taken from a body only: a
// query ends up in the access logs of every proxy in between.
func askOf(req *logical.Request, d *framework.FieldData) (issue.Request, error) {
	ask := issue.Request{Role: d.Get("role").(string), Caller: callerOf(req)}
	in := &input{d: d}
	if req.Operation == logical.ReadOperation {
		for _, field := range []string{"id_token", "approval_id"} {
			if in.given(field) {
				return ask, fault.InvalidField(field, "is taken from a request body only, never from a query: write (POST) instead of read")
			}
		}
	}
	in.texts("repositories", &ask.Repositories)
	in.texts("permissions", &ask.Permissions)
	in.duration("ttl", &ask.TTL)
	in.text("id_token", &ask.IDToken)
	in.text("approval_id", &ask.ApprovalID)
	if in.err != nil {
		return ask, in.err
	}
	if in.set("ttl") && ask.TTL <= 0 {
		return ask, fault.InvalidField("ttl", "must be at least 1s")
	}
	ask.NamedRepositories, ask.NamedPermissions = in.set("repositories"), in.set("permissions")
	if repository, inPath := d.Raw["repository"].(string); inPath && repository != "" {
		if ask.NamedRepositories {
			return ask, fault.InvalidField("repositories", "cannot stand beside the repository in the path")
		}
		ask.Repositories, ask.NamedRepositories = []string{repository}, true
	}
	return ask, nil
}

// leaseSecret tells Vault how our leases are renewed and revoked.
func leaseSecret(e *Engine) *framework.Secret {
	return &framework.Secret{
		Type:   SecretType,
		Fields: credentialFields(),
		Renew: func(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
			return renew(ctx, e, req)
		},
		Revoke: func(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
			id, _ := req.Secret.InternalData[tokenIDKey].(string)
			if err := e.Revoke.Lease(ctx, id); err != nil {
				return answer(err)
			}
			return nil, nil
		},
	}
}

// Secrets are the kinds of leases of the mount.
func Secrets(e *Engine) []*framework.Secret { return []*framework.Secret{leaseSecret(e)} }

func renew(ctx context.Context, e *Engine, req *logical.Request) (*logical.Response, error) {
	id, _ := req.Secret.InternalData[tokenIDKey].(string)
	renewal, err := e.Issue.Renew(ctx, id, req.Secret.IssueTime, req.Secret.Increment)
	if err != nil {
		return answer(err)
	}
	resp := &logical.Response{Secret: req.Secret}
	resp.Secret.TTL, resp.Secret.MaxTTL = renewal.TTL, renewal.MaxTTL
	return resp, nil
}
