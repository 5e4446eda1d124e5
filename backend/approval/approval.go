// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package approval is the second person: somebody asks for a credential of a role
// with a reason, others decide, and what they allowed is good once, for that
// caller and that run, for a short time.
package approval

import (
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

const (
	// DecideWithin is how long others have to decide.
	DecideWithin = time.Hour
	// UseWithin is how long an approval is good once it is complete.
	UseWithin = 15 * time.Minute
	// keepFor is how long an approval can be looked at after it was asked for.
	keepFor = 30 * 24 * time.Hour
	// mostText bounds a reason and a comment, in bytes: both are in the log.
	mostText = 4 << 10
)

// Status is where an approval stands.
type Status string

// The statuses.
const (
	Pending  Status = "pending"
	Approved Status = "approved"
	Denied   Status = "denied"
	Used     Status = "used"
	Expired  Status = "expired"
	Void     Status = "void"
)

// Approval is one request and what became of it.
type Approval struct {
	ID     string `json:"-"`
	Role   string `json:"role"`
	Reason string `json:"reason"`
	// EntityID and DisplayName say who asked; Job what its own identity says, where
	// the role has an issuer; Run what the approval is good for then.
	EntityID    string        `json:"entity_id"`
	DisplayName string        `json:"display_name"`
	Job         *identity.Job `json:"job,omitempty"`
	Run         *identity.Run `json:"run,omitempty"`

	Required    int        `json:"required"`
	Decisions   []Decision `json:"decisions"`
	RequestedAt time.Time  `json:"requested_at"`
	// CompleteAt is when the last of the required approvals came.
	CompleteAt time.Time `json:"complete_at,omitzero"`
	UsedAt     time.Time `json:"used_at,omitzero"`
	UsedBy     string    `json:"used_by,omitempty"` // the token's id

	// Basis is a fingerprint of the role and all that it refers to. When any of
	// that was written since, what was approved may not be what would be issued.
	Basis string `json:"basis"`
}

// Decision is one person's.
type Decision struct {
	EntityID    string    `json:"entity_id"`
	DisplayName string    `json:"display_name"`
	Approve     bool      `json:"approve"`
	Comment     string    `json:"comment"`
	At          time.Time `json:"at"`
}

// ExpiresAt is when the approval ends by itself: undecided, or unused.
func (a *Approval) ExpiresAt() time.Time {
	if !a.CompleteAt.IsZero() {
		return a.CompleteAt.Add(UseWithin)
	}
	return a.RequestedAt.Add(DecideWithin)
}

// StatusAt is where the approval stands, given what the role's basis is now.
func (a *Approval) StatusAt(now time.Time, basis string) Status {
	switch {
	case !a.UsedAt.IsZero():
		return Used
	case a.denied():
		return Denied
	case a.Basis != basis:
		return Void
	case !now.Before(a.ExpiresAt()):
		return Expired
	case !a.CompleteAt.IsZero() && a.count() >= a.Required && a.Required > 0:
		return Approved
	}
	return Pending
}

func (a *Approval) denied() bool {
	for _, d := range a.Decisions {
		if !d.Approve {
			return true
		}
	}
	return false
}

// spent is fault.Denied for an approval that no credential can be had on, whatever
// time it is.
func (a *Approval) spent() error {
	switch {
	case !a.UsedAt.IsZero():
		return fault.New(fault.Denied, "approval: %q has been used", a.ID)
	case a.denied():
		return fault.New(fault.Denied, "approval: %q was denied", a.ID)
	}
	return nil
}

// count is the number of distinct people who approved.
func (a *Approval) count() int {
	people := map[string]bool{}
	for _, d := range a.Decisions {
		if d.Approve && d.EntityID != "" {
			people[d.EntityID] = true
		}
	}
	return len(people)
}

// Approvers name those who approved, for the record of the token.
func (a *Approval) Approvers() []string {
	var names []string
	for _, d := range a.Decisions {
		if d.Approve {
			names = append(names, policy.Caller{EntityID: d.EntityID, DisplayName: d.DisplayName}.Name())
		}
	}
	return names
}

// For reports whether the approval is for this caller and run, and why it is not.
func (a *Approval) For(caller policy.Caller, run *identity.Run) (ok bool, why string) {
	switch {
	case a.EntityID != caller.EntityID || a.EntityID == "" && a.DisplayName != caller.DisplayName:
		return false, "it was asked for by somebody else"
	case a.Run == nil && run == nil:
		return true, ""
	case a.Run == nil || run == nil || *a.Run != *run:
		return false, "it is for another run, commit or ref"
	}
	return true, ""
}
