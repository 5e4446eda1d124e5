// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"encoding/json"
	"maps"
	"time"
)

// EventType is what happened.
type EventType string

// The types of events.
const (
	EventIssued            EventType = "issued"
	EventUsed              EventType = "used"
	EventRevocationFailed  EventType = "revocation_failed"
	EventHandedOver        EventType = "handed_over"
	EventRevoked           EventType = "revoked"
	EventExpired           EventType = "expired"
	EventExposed           EventType = "exposed"
	EventKillOrdered       EventType = "kill_ordered"
	EventKillDone          EventType = "kill_done"
	EventApprovalRequested EventType = "approval_requested"
	EventApprovalGiven     EventType = "approval_given"
	EventApprovalDenied    EventType = "approval_denied"
	EventApprovalUsed      EventType = "approval_used"
	EventRootRotated       EventType = "root_rotated"
	EventOrphanRevoked     EventType = "orphan_revoked"
)

// Event is one thing that happened. Fields are flat: values are strings, numbers
// and lists of strings.
type Event struct {
	Type   EventType
	Time   time.Time
	Record *Record
	// More are facts beside those of the record.
	More map[string]any
}

// encode writes the event as one flat JSON object with its place in the log.
func (e Event) encode(cursor string) (json.RawMessage, error) {
	flat := map[string]any{}
	if e.Record != nil {
		flat = e.Record.facts()
	}
	flat["cursor"] = cursor
	flat["time"] = e.Time.UTC().Format(time.RFC3339Nano)
	flat["type"] = string(e.Type)
	maps.Copy(flat, e.More)
	return json.Marshal(flat)
}

// jobPrefix keeps the job's facts apart from the token's own.
const jobPrefix = "job_"

// facts are what every event of a token tells, so that it reads without another.
func (r *Record) facts() map[string]any {
	facts := map[string]any{
		"token_id": r.TokenID, "token_sha256": r.TokenSHA256,
		"provider": r.Provider, "config": r.Config, "organization": r.Organization,
		"role": r.Role, "stage": r.Stage, "environment": r.Environment,
		"owner": r.Owner, "purpose": r.Purpose,
		"repositories": r.Repositories, "permissions": r.Permissions,
		"request_id": r.RequestID, "entity_id": r.EntityID, "display_name": r.DisplayName,
		"issued_at": Stamp(r.IssuedAt), "lease_until": Stamp(r.LeaseUntil), "expires_at": Stamp(r.ExpiresAt),
	}
	if len(r.ApprovedBy) > 0 {
		facts["approved_by"] = r.ApprovedBy
	}
	for name, value := range r.Job {
		facts[jobPrefix+name] = value
	}
	return facts
}

// ending tells how a token ended.
func (r *Record) ending() map[string]any {
	return map[string]any{
		"status": string(r.Status), "revoked_by": string(r.RevokedBy),
		"revoked_at": Stamp(r.RevokedAt), "attempts": r.Attempts, "uses": r.Uses,
	}
}

// Stamp is a time as every answer writes it; empty for the zero time.
func Stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
