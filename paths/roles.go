// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
)

func rolePaths(e *Engine) []*framework.Path {
	fields := map[string]*framework.FieldSchema{
		"config":             text("Config through which its tokens are made. Required."),
		"stage":              text("Pipeline stage, whose ceiling holds: build, test, release, deploy or one of your own. Required."),
		"environment":        text("Environment in which its tokens take effect. Required."),
		"owner":              text("Team that answers for it. Required."),
		"purpose":            text("What its tokens are for. Required."),
		"repositories":       texts("Repositories of one account: name, account/name, a pattern (svc-*), or {{claims.repository}}. Required; none never means all."),
		"permissions":        texts("Permissions as resource=level, such as contents=read. Required; none never means all."),
		"ttl":                duration("First life of a credential. Default: the environment's, else 15 minutes."),
		"max_ttl":            duration("How long a credential can be renewed. Default: the environment's, else the mount's."),
		"issuer":             text("Issuer that must vouch for the job."),
		"bound_claims":       texts("Claims that the job's id_token must have, as claim=pattern."),
		"required_approvals": number("How many others must approve each credential; the environment's holds where it is larger.", 0),
		"single_use":         yesNo("One credential for each id_token."),
		"valid_from":         text("No credential before then (RFC 3339, UTC)."),
		"valid_until":        text("No credential from then on (RFC 3339, UTC)."),
		"max_active":         number("Live credentials at the most; 0 is no limit.", 0),
		"bound_cidrs":        texts("Addresses or ranges that callers must come from."),
		"disabled":           yesNo("No credential while true."),
	}
	return resource{
		path: "roles", kind: "role",
		help:   "Who may get what: one stage in one environment on one platform.",
		text:   "A role maps a pipeline stage in an environment to the least permissions on the repositories of one account. Its permissions must be within its stage's ceiling.",
		fields: fields, shown: fields,
		list: e.Catalog.Roles.List,
		read: func(ctx context.Context, name string) (map[string]any, error) {
			r, err := e.Catalog.Roles.Get(ctx, name)
			if err != nil || r == nil {
				return nil, err
			}
			return showRole(r), nil
		},
		write: func(ctx context.Context, name string, in *input, patch bool) ([]string, error) {
			old, err := e.Catalog.Roles.Get(ctx, name)
			if err != nil {
				return nil, err
			}
			role := &policy.Role{}
			if patch && old != nil {
				*role = *old
			}
			readRole(in, role)
			if in.err != nil {
				return nil, in.err
			}
			return e.Roles.Write(ctx, name, old, role)
		},
		delete: e.Roles.Delete,
	}.paths()
}

func readRole(in *input, r *policy.Role) {
	in.text("config", &r.Config)
	in.text("stage", &r.Stage)
	in.text("environment", &r.Environment)
	in.text("owner", &r.Owner)
	in.text("purpose", &r.Purpose)
	in.texts("repositories", &r.Repositories)
	in.texts("permissions", &r.Permissions)
	in.duration("ttl", &r.TTL)
	in.duration("max_ttl", &r.MaxTTL)
	in.text("issuer", &r.Issuer)
	in.texts("bound_claims", &r.BoundClaims)
	in.number("required_approvals", &r.RequiredApprovals)
	in.yesNo("single_use", &r.SingleUse)
	in.text("valid_from", &r.ValidFrom)
	in.text("valid_until", &r.ValidUntil)
	in.number("max_active", &r.MaxActive)
	in.texts("bound_cidrs", &r.BoundCIDRs)
	in.yesNo("disabled", &r.Disabled)
}

func showRole(r *policy.Role) map[string]any {
	return map[string]any{
		"config": r.Config, "stage": r.Stage, "environment": r.Environment,
		"owner": r.Owner, "purpose": r.Purpose,
		"repositories": list(r.Repositories), "permissions": list(r.Permissions),
		"ttl": seconds(r.TTL), "max_ttl": seconds(r.MaxTTL),
		"issuer": r.Issuer, "bound_claims": list(r.BoundClaims),
		"required_approvals": r.RequiredApprovals, "single_use": r.SingleUse,
		"valid_from": r.ValidFrom, "valid_until": r.ValidUntil,
		"max_active": r.MaxActive, "bound_cidrs": list(r.BoundCIDRs), "disabled": r.Disabled,
	}
}
