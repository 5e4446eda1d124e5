// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"
	"net/http"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/inventory"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/revoke"
)

func reportPaths(e *Engine) []*framework.Path {
	lines := func(description string) *framework.FieldSchema {
		return &framework.FieldSchema{Type: framework.TypeSlice, Description: description}
	}
	shown := map[string]*framework.FieldSchema{
		"generated_at":         text("When the report was made."),
		"roles":                lines("Per role: owner, purpose, reach, counts, last issue and the job that had it, never used, idle, validity."),
		"configs":              lines("Per config: platform, address, age of its own credentials, live tokens."),
		"kills":                lines("Kills since the start, and how far each has come."),
		"live":                 number("Tokens that are not known to be dead.", 0),
		"counted":              yesNo("False while a start is still counting live tokens."),
		"queue_empty":          yesNo("The engine owes no revocation; with live 0 the mount can be disabled."),
		"queue_length":         number("Revocations that the engine owes.", 0),
		"queue_oldest_seconds": number("Age of the oldest of them.", 0),
	}
	return []*framework.Path{{
		Pattern: "report/?$", DisplayAttrs: display("report"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: operation("Read the inventory.", func(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
				r, err := e.Inventory.Report(ctx)
				if err != nil {
					return nil, err
				}
				return &logical.Response{Data: showReport(r)}, nil
			}, http.StatusOK, shown),
		},
		HelpSynopsis: "The inventory of machine identities.", HelpDescription: "Who answers for each role, how far it reaches, how often it issues, and what is owed.",
	}}
}

func showReport(r *inventory.Report) map[string]any {
	roles, configs, kills := []map[string]any{}, []map[string]any{}, []map[string]any{}
	for _, role := range r.Roles {
		roles = append(roles, showRoleLine(role))
	}
	for _, c := range r.Configs {
		line := map[string]any{"name": c.Name, "provider": c.Provider, "base_url": c.BaseURL, "live": c.Live}
		for field, at := range c.SecretSetAt {
			line[field+"_set_at"] = ledger.Stamp(at)
			line[field+"_age_days"] = int(r.At.Sub(at) / (24 * time.Hour))
		}
		configs = append(configs, line)
	}
	for _, k := range r.Kills {
		kills = append(kills, showOrder(k))
	}
	return map[string]any{
		"generated_at": ledger.Stamp(r.At), "roles": roles, "configs": configs, "kills": kills,
		"live": r.Live, "counted": r.Counted, "queue_empty": r.Counted && r.QueueLength == 0,
		"queue_length": r.QueueLength, "queue_oldest_seconds": seconds(r.QueueOldest),
	}
}

func showRoleLine(r inventory.Role) map[string]any {
	line := map[string]any{
		"name": r.Name, "owner": r.Owner, "purpose": r.Purpose, "stage": r.Stage, "environment": r.Environment,
		"config": r.Config, "provider": r.Provider, "organization": r.Account,
		"repositories": list(r.Repositories), "permissions": list(r.Permissions), "issuer": r.Issuer,
		"live": r.Figures.Live, "issued_1d": r.Figures.Issued1d, "issued_7d": r.Figures.Issued7d, "issued_30d": r.Figures.Issued30d,
		"never_used_30d": r.Figures.Unused30d, "last_issued_at": ledger.Stamp(r.Figures.LastIssued),
		"idle_30d": r.Idle, "valid_until": r.ValidUntil, "ended": r.Ended, "ends_soon": r.EndsSoon, "disabled": r.Disabled,
	}
	for fact, value := range showJob(r.Figures.LastJob) {
		line["last_"+fact] = value
	}
	return line
}

func showOrder(o revoke.Order) map[string]any {
	return map[string]any{
		"kill_id": o.ID, "filter": o.Filter.String(), "ordered_at": ledger.Stamp(o.OrderedAt),
		"matched": o.Matched, "revoked": o.Dead, "queued": o.Queued, "done": o.Done,
	}
}
