// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
)

func environmentPaths(e *Engine) []*framework.Path {
	fields := map[string]*framework.FieldSchema{
		"description":           text("What the environment is."),
		"ttl":                   duration("First life of a credential where the role says none."),
		"max_ttl":               duration("Cap on every lease in it."),
		"required_approvals":    number("How many others must approve each credential.", 0),
		"destructive_approvals": number("The same for roles with a destructive permission; 0 only when written.", 1),
		"require_identity":      yesNo("Every role needs an issuer: jobs prove themselves."),
		"bound_claims":          texts("Claims that every job's id_token must have, as claim=pattern, beside the role's own."),
		"allowed_stages":        texts("Stages that may act in it; empty: all."),
		"allowed_roles":         {Type: framework.TypeCommaStringSlice, Description: "Roles that may act in it, as patterns.", Default: []string{"*"}},
		"production":            yesNo("Implies require_identity and at least one approval."),
	}
	return resource{
		path: "environments", kind: "environment",
		help:   "Where tokens take effect, and what that asks of them.",
		text:   "An environment caps leases, asks for approvals and for the job's own identity, and says which roles may act in it.",
		fields: fields, shown: fields,
		list: e.Catalog.Environments.List,
		read: func(ctx context.Context, name string) (map[string]any, error) {
			env, err := e.Catalog.Environments.Get(ctx, name)
			if err != nil || env == nil {
				return nil, err
			}
			return showEnvironment(env), nil
		},
		write: func(ctx context.Context, name string, in *input, patch bool) ([]string, error) {
			old, err := e.Catalog.Environments.Get(ctx, name)
			if err != nil {
				return nil, err
			}
			env := &policy.Environment{DestructiveApprovals: 1, AllowedRoles: []string{"*"}}
			if patch && old != nil {
				*env = *old
			}
			readEnvironment(in, env)
			if in.err != nil {
				return nil, in.err
			}
			if err := e.Roles.WriteEnvironment(ctx, name, old, env); err != nil || patch || old == nil {
				return nil, err
			}
			return policy.Loosened(old, env), nil
		},
		delete: e.Catalog.DeleteEnvironment,
	}.paths()
}

func readEnvironment(in *input, e *policy.Environment) {
	in.text("description", &e.Description)
	in.duration("ttl", &e.TTL)
	in.duration("max_ttl", &e.MaxTTL)
	in.number("required_approvals", &e.RequiredApprovals)
	in.number("destructive_approvals", &e.DestructiveApprovals)
	in.yesNo("require_identity", &e.RequireIdentity)
	in.texts("bound_claims", &e.BoundClaims)
	in.texts("allowed_stages", &e.AllowedStages)
	in.texts("allowed_roles", &e.AllowedRoles)
	in.yesNo("production", &e.Production)
	e.ImplyProduction(in.set("require_identity"), in.set("required_approvals"))
}

func showEnvironment(e *policy.Environment) map[string]any {
	return map[string]any{
		"description": e.Description, "ttl": seconds(e.TTL), "max_ttl": seconds(e.MaxTTL),
		"required_approvals": e.RequiredApprovals, "destructive_approvals": e.DestructiveApprovals,
		"require_identity": e.RequireIdentity, "bound_claims": list(e.BoundClaims),
		"allowed_stages": list(e.AllowedStages), "allowed_roles": list(e.AllowedRoles),
		"production": e.Production,
	}
}
