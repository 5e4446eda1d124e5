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

// flatEvent is an event as it is written, but for what only some events tell.
type flatEvent struct {
	Cursor string    `json:"cursor"`
	Time   string    `json:"time"`
	Type   EventType `json:"type"`
	*facts
}

// facts are what every event of a token tells, so that it reads without another.
type facts struct {
	TokenID      string   `json:"token_id"`
	TokenSHA256  string   `json:"token_sha256"`
	Provider     string   `json:"provider"`
	Config       string   `json:"config"`
	Organization string   `json:"organization"`
	Role         string   `json:"role"`
	Stage        string   `json:"stage"`
	Environment  string   `json:"environment"`
	Owner        string   `json:"owner"`
	Purpose      string   `json:"purpose"`
	Repositories []string `json:"repositories"`
	Permissions  []string `json:"permissions"`
	RequestID    string   `json:"request_id"`
	EntityID     string   `json:"entity_id"`
	DisplayName  string   `json:"display_name"`
	IssuedAt     string   `json:"issued_at"`
	LeaseUntil   string   `json:"lease_until"`
	ExpiresAt    string   `json:"expires_at"`
	ApprovedBy   []string `json:"approved_by,omitempty"`
}

// jobPrefix keeps the job's facts apart from the token's own.
const jobPrefix = "job_"

// encode writes the event as one flat JSON object with its place in the log.
func (e Event) encode(cursor string) (json.RawMessage, error) {
	flat := flatEvent{Cursor: cursor, Time: e.Time.UTC().Format(time.RFC3339Nano), Type: e.Type}
	more := e.More
	if e.Record != nil {
		flat.facts = e.Record.facts()
		more = e.Record.jobAnd(more)
	}
	encoded, err := json.Marshal(flat)
	if err != nil || len(more) == 0 {
		return encoded, err
	}
	rest, err := json.Marshal(more)
	if err != nil {
		return nil, err
	}
	// One object of two: {"a":1} and {"b":2} are {"a":1,"b":2}.
	encoded[len(encoded)-1] = ','
	return append(encoded, rest[1:]...), nil
}

func (r *Record) facts() *facts {
	return &facts{
		TokenID: r.TokenID, TokenSHA256: r.TokenSHA256,
		Provider: r.Provider, Config: r.Config, Organization: r.Organization,
		Role: r.Role, Stage: r.Stage, Environment: r.Environment,
		Owner: r.Owner, Purpose: r.Purpose,
		Repositories: r.Repositories, Permissions: r.Permissions,
		RequestID: r.RequestID, EntityID: r.EntityID, DisplayName: r.DisplayName,
		IssuedAt: Stamp(r.IssuedAt), LeaseUntil: Stamp(r.LeaseUntil), ExpiresAt: Stamp(r.ExpiresAt),
		ApprovedBy: r.ApprovedBy,
	}
}

// jobAnd are the job's facts and more.
func (r *Record) jobAnd(more map[string]any) map[string]any {
	if len(r.Job) == 0 {
		return more
	}
	all := make(map[string]any, len(r.Job)+len(more))
	for name, value := range r.Job {
		all[jobPrefix+name] = value
	}
	maps.Copy(all, more)
	return all
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
