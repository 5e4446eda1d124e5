// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/issue"
)

func explainPaths(e *Engine) []*framework.Path {
	shown := map[string]*framework.FieldSchema{
		"allowed":            yesNo("Every gate is open."),
		"gates":              texts("Each gate as `name: open` or `name: shut: why`."),
		"shut":               texts("Names of the gates that are shut."),
		"role":               name("role"),
		"stage":              text("Pipeline stage."),
		"environment":        text("Environment."),
		"owner":              text("Team that answers for the role."),
		"purpose":            text("What the role is for."),
		"config":             text("Config."),
		"provider":           text("Platform."),
		"base_url":           text("Where the token would be made."),
		"organization":       text("Account that owns the repositories."),
		"repositories":       texts("Repositories that the token would reach."),
		"permissions":        texts("What the token could do."),
		"ttl":                duration("Its first life."),
		"max_ttl":            duration("How long it could be renewed."),
		"required_approvals": number("How many others must approve.", 0),
	}
	run := func(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
		ask, err := askOf(req, d)
		if err != nil {
			return nil, err
		}
		x, err := e.Issue.Explain(ctx, ask)
		if err != nil {
			return nil, err
		}
		return &logical.Response{Data: showExplanation(x), Warnings: x.Lease.Warnings}, nil
	}
	return []*framework.Path{{
		Pattern:      "explain/" + named("role"),
		DisplayAttrs: display("explanation"),
		Fields:       askFields(),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation:   operation("Explain what a read of creds would do.", run, http.StatusOK, shown),
			logical.UpdateOperation: operation("Explain it for an id_token or a narrowed request.", run, http.StatusOK, shown),
		},
		HelpSynopsis:    "A dry run: each gate, and what the token would be.",
		HelpDescription: "It asks the same gates as creds/<role>, for this caller, and makes nothing.",
	}}
}

func showExplanation(x *issue.Explanation) map[string]any {
	gates, shut := []string{}, []string{}
	for _, g := range x.Gates {
		if g.Err == nil {
			gates = append(gates, g.Name+": open")
			continue
		}
		gates = append(gates, g.Name+": shut: "+g.Err.Error())
		shut = append(shut, g.Name)
	}
	return map[string]any{
		"allowed": x.Allowed(), "gates": gates, "shut": shut,
		"role": x.Role.Name, "stage": x.Role.Stage, "environment": x.Role.Environment,
		"owner": x.Role.Owner, "purpose": x.Role.Purpose, "config": x.Role.Config,
		"provider": x.Provider, "base_url": x.BaseURL, "organization": x.Organization,
		"repositories": list(x.Repositories), "permissions": list(x.Permissions),
		"ttl": seconds(x.Lease.TTL), "max_ttl": seconds(x.Lease.MaxTTL), "required_approvals": x.Required,
	}
}
