// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"maps"

	"github.com/hashicorp/vault/sdk/framework"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/issue"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
)

// factFields are the fields that a credential and its record share. All are flat,
// so that the audit device can show them in clear.
func factFields() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"username":     text("User name that goes with the token for git over HTTPS."),
		"token_id":     text("Name of the token in the ledger."),
		"token_sha256": text("Standard base64 of the token's SHA-256: hashed_token in GitHub's audit log."),
		"expires_at":   text("When the platform, or else the engine, ends the token at the latest."),
		"provider":     text("Platform."),
		"config":       text("Config through which it was made."),
		"base_url":     text("Where it was made and is revoked."),
		"organization": text("Account that owns the repositories."),
		"role":         text("Role."),
		"stage":        text("Pipeline stage."),
		"environment":  text("Environment."),
		"owner":        text("Team that answers for it."),
		"purpose":      text("What it is for."),
		"repositories": texts("Repositories that it reaches."),
		"permissions":  texts("What it may do there, as resource=level."),
	}
}

func credentialFields() map[string]*framework.FieldSchema {
	return join(factFields(), map[string]*framework.FieldSchema{"token": secret("The token.")})
}

func showFacts(r *ledger.Record) map[string]any {
	return map[string]any{
		"username": r.Username, "token_id": r.TokenID, "token_sha256": r.TokenSHA256, "expires_at": ledger.Stamp(r.ExpiresAt),
		"provider": r.Provider, "config": r.Config, "base_url": r.BaseURL, "organization": r.Organization,
		"role": r.Role, "stage": r.Stage, "environment": r.Environment, "owner": r.Owner, "purpose": r.Purpose,
		"repositories": list(r.Repositories), "permissions": list(r.Permissions),
	}
}

func showCredential(c *issue.Credential) map[string]any {
	data := showFacts(&c.Record)
	data["token"] = c.Token
	return data
}

// jobFacts are the names of what a job's identity tells.
var jobFacts = []string{"repository", "ref", "sha", "environment", "workflow", "run", "actor", "runner"}

func jobFields() map[string]*framework.FieldSchema {
	fields := map[string]*framework.FieldSchema{}
	for _, fact := range jobFacts {
		fields["job_"+fact] = text("The job's " + fact + ", as its own identity says.")
	}
	return fields
}

func showJob(job map[string]string) map[string]any {
	data := map[string]any{}
	for _, fact := range jobFacts {
		data["job_"+fact] = job[fact]
	}
	return data
}

func recordFields() map[string]*framework.FieldSchema {
	return join(factFields(), jobFields(), map[string]*framework.FieldSchema{
		"status":          text("active, revoking, revoked or expired."),
		"issued_at":       text("When it was made."),
		"lease_until":     text("When its lease ends."),
		"revoked_at":      text("When it was found dead."),
		"revoked_by":      text("What ended it: lease, expiry, kill, exposed or sweep."),
		"attempts":        number("Failed tries to revoke it.", 0),
		"last_error":      text("Why the last try failed."),
		"request_id":      text("Vault's audit record of its issue."),
		"entity_id":       text("Entity that it was issued to."),
		"display_name":    text("Display name that it was issued to."),
		"approved_by":     texts("Who approved it."),
		"uses":            number("Uses on record.", 0),
		"first_used_at":   text("First use on record."),
		"last_used_at":    text("Last use on record."),
		"use_reported_by": text("Who told of the last use."),
		"exposed_at":      text("When it was reported exposed."),
		"exposed_where":   text("Where it was exposed."),
	})
}

func showRecord(r *ledger.Record) map[string]any {
	data := showFacts(r)
	maps.Copy(data, showJob(r.Job))
	maps.Copy(data, map[string]any{
		"status": string(r.Status), "issued_at": ledger.Stamp(r.IssuedAt), "lease_until": ledger.Stamp(r.LeaseUntil),
		"revoked_at": ledger.Stamp(r.RevokedAt), "revoked_by": string(r.RevokedBy),
		"attempts": r.Attempts, "last_error": r.LastError, "request_id": r.RequestID,
		"entity_id": r.EntityID, "display_name": r.DisplayName, "approved_by": list(r.ApprovedBy),
		"uses": r.Uses, "first_used_at": ledger.Stamp(r.FirstUsedAt), "last_used_at": ledger.Stamp(r.LastUsedAt),
		"use_reported_by": r.UseReportedBy,
		"exposed_at":      ledger.Stamp(r.ExposedAt), "exposed_where": r.ExposedWhere,
	})
	return data
}
