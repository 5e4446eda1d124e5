// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package ledger is the engine's own record of every token: what is live and how
// to kill it, what is dead and how it ended, and a log of all that happened. It is
// the safety net under Vault's leases and the book that an auditor joins with
// Vault's audit device.
//
// Storage is sharded by time, so that work goes with what is due and never with
// what there is. A live record is one write, a closed one two; the log is written
// in pages that many events share.
package ledger

import (
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// Status is what is known of a token.
type Status string

// The statuses. Active and Revoking tokens count as live.
const (
	Active   Status = "active"
	Revoking Status = "revoking"
	Revoked  Status = "revoked"
	Expired  Status = "expired"
)

// Cause is what ended a token.
type Cause string

// The causes.
const (
	ByLease   Cause = "lease"
	ByExpiry  Cause = "expiry"
	ByKill    Cause = "kill"
	ByExposed Cause = "exposed"
	BySweep   Cause = "sweep"
)

// Record is what the ledger tells of a token. It never holds the token.
type Record struct {
	TokenID      string    `json:"token_id"`
	TokenSHA256  string    `json:"token_sha256"`
	Username     string    `json:"username"`
	Provider     string    `json:"provider"`
	Config       string    `json:"config"`
	BaseURL      string    `json:"base_url"`
	Organization string    `json:"organization"`
	Role         string    `json:"role"`
	Stage        string    `json:"stage"`
	Environment  string    `json:"environment"`
	Owner        string    `json:"owner"`
	Purpose      string    `json:"purpose"`
	Repositories []string  `json:"repositories"`
	Permissions  []string  `json:"permissions"`
	ExpiresAt    time.Time `json:"expires_at"`

	Status     Status    `json:"status"`
	IssuedAt   time.Time `json:"issued_at"`
	LeaseUntil time.Time `json:"lease_until"`
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
	RevokedBy  Cause     `json:"revoked_by,omitempty"`
	Attempts   int       `json:"attempts,omitempty"`
	LastError  string    `json:"last_error,omitempty"`

	RequestID   string `json:"request_id"`
	EntityID    string `json:"entity_id"`
	DisplayName string `json:"display_name"`
	// Job is what the job's own identity says of it: repository, ref, sha and so on.
	Job        map[string]string `json:"job,omitempty"`
	ApprovedBy []string          `json:"approved_by,omitempty"`

	Uses        int       `json:"uses,omitempty"`
	FirstUsedAt time.Time `json:"first_used_at,omitzero"`
	LastUsedAt  time.Time `json:"last_used_at,omitzero"`
	// UseReportedBy names who told us of the last use.
	UseReportedBy string    `json:"use_reported_by,omitempty"`
	ExposedAt     time.Time `json:"exposed_at,omitzero"`
	ExposedWhere  string    `json:"exposed_where,omitempty"`
}

// Live is a record of a token that is not known to be dead, with what is needed to
// kill it and to renew its lease.
type Live struct {
	Record
	// Handle is the provider's; it may be the token itself.
	Handle string `json:"handle"`
	// EndsItself: the platform ends the token at ExpiresAt.
	EndsItself bool `json:"ends_itself"`
	// TTL and MaxTTL are the lease's.
	TTL    time.Duration `json:"ttl"`
	MaxTTL time.Duration `json:"max_ttl"`
	// Address is where the caller came from. Issuer and Claims are those that vouch
	// for the job. Vault tells nothing of who renews: the gates are asked for these.
	Address string            `json:"address,omitempty"`
	Issuer  string            `json:"issuer,omitempty"`
	Claims  map[string]string `json:"claims,omitempty"`
	// Killed says that the token is to die whatever its lease says, and why.
	Killed Cause `json:"killed,omitempty"`
	// VaultTries counts the tries of Vault's to revoke that have failed.
	VaultTries int `json:"vault_tries,omitempty"`
	// HandedOver: it is told that Vault's tries have come to an end.
	HandedOver bool `json:"handed_over,omitempty"`
	// Indexed: the id was chosen before the token was known; Hashes leads to it.
	Indexed bool `json:"indexed,omitempty"`
	// Place is the max_active place that the record takes over when it is opened.
	Place *Place `json:"-"`
	// Ticket is the place in the log after which the issue is told, and Term names
	// the process that wrote it.
	Ticket uint64 `json:"ticket"`
	Term   string `json:"term"`
}

// DeadByItself reports whether the platform has ended the token by now. The margin
// is for clocks that differ.
func (l *Live) DeadByItself(now time.Time) bool {
	return l.EndsItself && now.After(l.ExpiresAt.Add(clockMargin))
}

// clockMargin is how far our clock and a platform's may be apart before we take a
// token for dead that is not.
const clockMargin = 30 * time.Second

// Hash is the standard base64 of the SHA-256 of a token: what the platforms' own
// audit logs show of it.
func Hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.StdEncoding.EncodeToString(sum[:])
}
