// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package tokens answers those who hold a token or are shown one: that it was
// used, what it may do, that it was found where it should not be.
package tokens

import (
	"context"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/revoke"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/redact"
)

// Service answers for the tokens of one mount.
type Service struct {
	ledger  *ledger.Ledger
	revoker *revoke.Service
	now     func() time.Time
}

// New makes the service.
func New(l *ledger.Ledger, r *revoke.Service, now func() time.Time) *Service {
	return &Service{ledger: l, revoker: r, now: now}
}

// Use is a use that somebody reports.
type Use struct {
	TokenID, Action, Target string
	// Token, where it is shown, entitles whoever reports.
	Token  string
	Caller policy.Caller
}

// Used records a use: by whom the token was issued to, or by whoever shows it. It
// returns what was recorded, and of which token.
func (s *Service) Used(ctx context.Context, u Use) (record *ledger.Record, recorded ledger.Use, err error) {
	record, err = s.ledger.Find(ctx, u.TokenID)
	if err != nil {
		return nil, recorded, err
	}
	u.Token = bare(u.Token)
	shown := u.Token != "" && ledger.Hash(u.Token) == record.TokenSHA256
	if !shown && !issuedTo(record, u.Caller) {
		return nil, recorded, fault.New(fault.Denied, "use: token %q was issued to somebody else; show it (field token) to report its use", u.TokenID)
	}
	if u.Action == "" {
		return nil, recorded, fault.InvalidField("action", "is required: say what the token was used for, such as push or deploy")
	}
	recorded = ledger.Use{
		At: s.now().UTC(), Action: redact.Text(u.Action, u.Token), Target: redact.Text(u.Target, u.Token), ReportedBy: u.Caller.Name(),
	}
	return record, recorded, s.ledger.Used(ctx, record, recorded)
}

// bare is a token without the line end that a file or a paste has behind it: no
// platform's token holds white space, and one that is not recognised lives on.
func bare(token string) string { return strings.TrimSpace(token) }

func issuedTo(r *ledger.Record, c policy.Caller) bool {
	if r.EntityID != "" || c.EntityID != "" {
		return r.EntityID == c.EntityID
	}
	return r.DisplayName == c.DisplayName
}

// Introspect returns the record of a token that is ours and live, or nil. That
// somebody was shown it is a use.
func (s *Service) Introspect(ctx context.Context, token string, caller policy.Caller) (*ledger.Record, error) {
	if token = bare(token); token == "" {
		return nil, fault.InvalidField("token", "is required")
	}
	record, err := s.ledger.FindToken(ctx, token)
	if err != nil || record == nil {
		return nil, err
	}
	if !s.live(record) {
		return nil, nil
	}
	return record, s.ledger.Used(ctx, record, ledger.Use{At: s.now().UTC(), Action: "introspect", ReportedBy: caller.Name()})
}

// live: a token that is to die is none to be trusted any more.
func (s *Service) live(r *ledger.Record) bool {
	return r.Status == ledger.Active && s.now().Before(r.ExpiresAt)
}

// Exposure is what came of a report.
type Exposure struct {
	// Record is nil where the token is not ours.
	Record *ledger.Record
	// WasLive: it could still be used when it was reported.
	WasLive bool
	Where   string
}

// Exposed takes a report that a token was found. If it is ours it dies now, and its
// record says where it was. An error comes only after that is on record: the queue
// then goes on to kill it.
func (s *Service) Exposed(ctx context.Context, token, where string, caller policy.Caller) (Exposure, error) {
	if token = bare(token); token == "" {
		return Exposure{}, fault.InvalidField("token", "is required")
	}
	e := Exposure{Where: redact.Text(where, token)}
	record, err := s.ledger.FindToken(ctx, token)
	if err != nil || record == nil {
		return e, err
	}
	now := s.now().UTC()
	e.WasLive = record.Status == ledger.Active || record.Status == ledger.Revoking
	mark := func(r *ledger.Record) {
		if r.ExposedAt.IsZero() {
			r.ExposedAt, r.ExposedWhere = now, e.Where
		}
	}
	if e.WasLive {
		var live *ledger.Live
		live, err = s.ledger.Change(ctx, record.TokenID, func(l *ledger.Live) error {
			mark(&l.Record)
			l.Killed = ledger.ByExposed
			return nil
		})
		if err == nil {
			s.revoker.Adopt(live)
		}
	}
	if !e.WasLive || fault.Is(err, fault.NotFound) {
		err = s.ledger.ChangeClosed(ctx, record.TokenID, mark)
	}
	if err != nil {
		return e, err
	}
	if err := s.ledger.Tell(ctx, ledger.Event{Type: ledger.EventExposed, Time: now, Record: record, More: map[string]any{
		"where": e.Where, "was_live": e.WasLive, "reported_by": caller.Name(),
	}}); err != nil {
		return e, err
	}
	if e.WasLive {
		err = s.revoker.Token(ctx, record.TokenID, ledger.ByExposed)
	}
	current, findErr := s.ledger.Find(ctx, record.TokenID)
	if findErr != nil {
		return e, findErr
	}
	e.Record = current
	return e, err
}
