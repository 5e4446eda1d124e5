// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package approval

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Service keeps the approvals of one mount.
type Service struct {
	storage logical.Storage
	ledger  *ledger.Ledger
	// aliases gives the alias names of an entity. Only names are believed: any
	// login overwrites an alias's metadata.
	aliases func(entityID string) ([]string, error)
	now     func() time.Time

	// deciding orders the changes of approvals. It is held over our own storage.
	deciding sync.Mutex
	mu       sync.Mutex
	// inUse are approvals that a credential is being made on.
	inUse map[string]bool
	// pending are those of each caller that are to be decided.
	pending map[asker]map[string]open

	// recalled are the roles of which pending is complete. It is deciding's.
	recalled map[string]bool
	// indexed tells that every approval is on its day. It is Tidy's.
	indexed bool
}

// New makes the service.
func New(storage logical.Storage, l *ledger.Ledger, aliases func(string) ([]string, error), now func() time.Time) *Service {
	return &Service{
		storage: storage, ledger: l, aliases: aliases, now: now,
		inUse: map[string]bool{}, pending: map[asker]map[string]open{}, recalled: map[string]bool{},
	}
}

// Request is what somebody asks for.
type Request struct {
	Role     string
	Reason   string
	Caller   policy.Caller
	Identity *identity.Identity // nil where the role has no issuer
	Required int
	Basis    string
}

// Ask puts up a request for others to decide.
func (s *Service) Ask(ctx context.Context, r Request) (*Approval, error) {
	if err := checkRequest(r); err != nil {
		return nil, err
	}
	id, err := uuid.GenerateUUID()
	if err != nil {
		return nil, fmt.Errorf("approval: %w", err)
	}
	a := &Approval{
		ID: id, Role: r.Role, Reason: r.Reason, EntityID: r.Caller.EntityID, DisplayName: r.Caller.DisplayName,
		Required: r.Required, RequestedAt: s.now().UTC(), Basis: r.Basis, Decisions: []Decision{},
	}
	if r.Identity != nil {
		run, err := r.Identity.Run()
		if err != nil {
			return nil, err
		}
		job := r.Identity.Job()
		a.Job, a.Run = &job, &run
	}
	if err := s.admit(ctx, a, r.Caller.Mount); err != nil {
		return nil, err
	}
	if err := s.create(ctx, a); err != nil {
		s.settle(a)
		return nil, err
	}
	return a, s.tell(ctx, ledger.EventApprovalRequested, a, map[string]any{"reason": a.Reason, "display_name": a.DisplayName, "entity_id": a.EntityID})
}

// unnamed is why an id_token without an actor gets nobody any further.
const unnamed = "the id_token does not name who started the job"

// checkRequest holds that others can know who asks, and for what.
func checkRequest(r Request) error {
	switch {
	case strings.TrimSpace(r.Reason) == "":
		return fault.InvalidField("reason", "is required: say what the credential is for, for those who decide")
	case len(r.Reason) > mostText:
		return fault.InvalidField("reason", "has at most %d bytes", mostText)
	case r.Required == 0:
		return fault.New(fault.Invalid, "role %q needs no approval; read creds/%s", r.Role, r.Role)
	case r.Caller.EntityID == "" && (r.Identity == nil || r.Identity.Job().Actor == ""):
		// Nobody could be told from the asker then.
		return fault.New(fault.Denied, "approval: who asks is not known: log in with a method that gives you an entity, or show an id_token that names the job's actor")
	case r.Identity != nil && r.Identity.Job().Actor == "":
		// Also where the issuer has no preset: its jobs are read as GitHub's, whose run,
		// commit and ref an approval cannot do without either.
		return fault.New(fault.Denied, "approval: %s, and nobody approves their own job", unnamed)
	}
	return nil
}

// Get returns an approval, or fault.NotFound.
func (s *Service) Get(ctx context.Context, role, id string) (*Approval, error) {
	a, err := s.stored(ctx, role, id)
	if err == nil && a == nil {
		err = fault.New(fault.NotFound, "there is no such approval for role %q", role)
	}
	return a, err
}

// stored reads an approval; nil where there is none.
func (s *Service) stored(ctx context.Context, role, id string) (*Approval, error) {
	if _, malformed := uuid.ParseUUID(id); malformed != nil { // it becomes part of a key
		return nil, nil
	}
	a := &Approval{ID: id}
	found, err := store.Get(ctx, s.storage, store.Approvals+role+"/"+id, a)
	if err != nil || !found {
		return nil, err
	}
	return a, nil
}

// List lists the ids of a role's approvals.
func (s *Service) List(ctx context.Context, role string) ([]string, error) {
	return store.List(ctx, s.storage, store.Approvals+role+"/")
}

// Roles lists the roles that have approvals.
func (s *Service) Roles(ctx context.Context) ([]string, error) {
	return store.List(ctx, s.storage, store.Approvals)
}

// Decide records one person's decision. basis is the role's as it is now.
func (s *Service) Decide(ctx context.Context, role, id, basis string, d Decision) (*Approval, error) {
	if len(d.Comment) > mostText {
		return nil, fault.InvalidField("comment", "has at most %d bytes", mostText)
	}
	s.deciding.Lock()
	defer s.deciding.Unlock()
	a, err := s.Get(ctx, role, id)
	if err != nil {
		return nil, err
	}
	if err := s.mayDecide(a, d); err != nil {
		return nil, err
	}
	switch status := a.StatusAt(s.now(), basis); status {
	case Pending:
	case Approved:
		if d.Approve {
			return nil, fault.New(fault.Conflict, "approval %q is approved already", id)
		}
	default:
		return nil, fault.New(fault.Conflict, "approval %q is %s; ask anew: write approvals/%s", id, status, role)
	}
	d.At = s.now().UTC()
	a.Decisions = append(a.Decisions, d)
	if !a.denied() && a.count() >= a.Required && a.CompleteAt.IsZero() {
		a.CompleteAt = d.At
	}
	if err := s.put(ctx, a); err != nil {
		return nil, err
	}
	if !a.undecided() {
		s.settle(a)
	}
	kind := ledger.EventApprovalGiven
	if !d.Approve {
		kind = ledger.EventApprovalDenied
	}
	return a, s.tell(ctx, kind, a, map[string]any{"decided_by": d.DisplayName, "decided_by_entity": d.EntityID, "comment": d.Comment})
}

// mayDecide holds that it is somebody else who decides, and each person once.
func (s *Service) mayDecide(a *Approval, d Decision) error {
	if d.EntityID == "" {
		return fault.New(fault.Denied, "approval: who decides is not known: log in with a method that gives you an entity")
	}
	if !d.Approve {
		return nil // anybody whom a policy lets here may stop it, the asker too
	}
	if d.EntityID == a.EntityID {
		return fault.New(fault.Denied, "approval: you asked for it; somebody else must approve")
	}
	if slices.ContainsFunc(a.Decisions, func(other Decision) bool { return other.EntityID == d.EntityID }) {
		return fault.New(fault.Denied, "approval: you have decided already; %d different people must approve", a.Required)
	}
	if a.Job == nil || a.Job.Actor == "" {
		return nil
	}
	is, err := s.is(d.EntityID, a.Job.Actor)
	if err != nil {
		return err
	}
	if is {
		return fault.New(fault.Denied, "approval: you (%s) started the job that asks; somebody else must approve", a.Job.Actor)
	}
	return nil
}

// is reports whether an entity has an alias of that name.
func (s *Service) is(entityID, actor string) (bool, error) {
	names, err := s.aliases(entityID)
	if err != nil {
		return false, fmt.Errorf("approval: look up the approver's aliases: %w", err)
	}
	return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, actor) }), nil
}

func (s *Service) put(ctx context.Context, a *Approval) error {
	return store.Put(ctx, s.storage, store.Approvals+a.Role+"/"+a.ID, a)
}

// tell puts it into the log, with the job where there is one.
func (s *Service) tell(ctx context.Context, kind ledger.EventType, a *Approval, more map[string]any) error {
	more["approval_id"], more["role"], more["required"] = a.ID, a.Role, a.Required
	if a.Job != nil {
		for name, value := range a.Job.Facts() {
			more["job_"+name] = value
		}
	}
	return s.ledger.Tell(ctx, ledger.Event{Type: kind, Time: s.now(), More: more})
}
