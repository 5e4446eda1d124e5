// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package issue

import (
	"context"
	"fmt"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/connect"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
)

// undoBudget bounds the revocation of a token that cannot be handed out.
const undoBudget = 10 * time.Second

// reserve takes what is counted before the mint: a place under max_active and among
// those that need the config, the job token's one credential, the approval. All are
// given back when it fails.
func (s *Service) reserve(ctx context.Context, p *plan) (release func(), err error) {
	var held []func()
	release = func() {
		for _, f := range held {
			f()
		}
	}
	link := p.bound.Link
	place, err := s.ledger.Reserve(p.bound.Role.Name, p.bound.Role.MaxActive, link.Name, link.Connection.BaseURL())
	if err != nil {
		return nil, err
	}
	p.place = place
	held = append(held, place.Release)
	if err := s.connections.Stays(ctx, link); err != nil {
		release()
		return nil, err
	}
	if p.bound.Role.SingleUse {
		once, err := s.seen.claim(ctx, p.identity)
		if err != nil {
			release()
			return nil, err
		}
		held = append(held, once)
	}
	if p.approval != nil {
		claimed, err := s.approvals.Claim(ctx, p.approval)
		if err != nil {
			release()
			return nil, err
		}
		held = append(held, claimed)
	}
	return release, nil
}

// record writes the token into the ledger, after what it uses up. A crash between
// the two costs somebody an approval; the other way round it would give away two
// credentials for one.
func (s *Service) record(ctx context.Context, p *plan, live *ledger.Live, token *providers.Token) error {
	ctx, cancel := context.WithTimeout(ctx, undoBudget+5*time.Second)
	defer cancel()
	if err := s.burn(ctx, p, live.TokenID); err != nil {
		return s.discard(ctx, p.bound.Link, live, token, err)
	}
	if err := s.ledger.Open(ctx, live, token.Secret); err != nil {
		s.unburn(ctx, p)
		err = s.discard(ctx, p.bound.Link, live, token, fmt.Errorf("issue: record the token: %w", err))
		s.revoker.Adopt(live) // a record may be there all the same: the queue closes it
		return err
	}
	if p.approval != nil {
		s.ledger.Note(ledger.Event{Type: ledger.EventApprovalUsed, Time: s.now(), Record: &live.Record, More: map[string]any{"approval_id": p.approval.ID}})
	}
	return nil
}

func (s *Service) burn(ctx context.Context, p *plan, tokenID string) error {
	if p.bound.Role.SingleUse {
		if err := s.seen.burn(ctx, p.identity); err != nil {
			return err
		}
	}
	if p.approval == nil {
		return nil
	}
	err := s.approvals.Burn(ctx, p.approval, tokenID)
	if err != nil && p.bound.Role.SingleUse {
		s.unburnSeen(ctx, p)
	}
	return err
}

// unburn gives back what a token used up that could not be recorded. What cannot
// be given back stays used: that errs on the safe side.
func (s *Service) unburn(ctx context.Context, p *plan) {
	if p.bound.Role.SingleUse {
		s.unburnSeen(ctx, p)
	}
	if p.approval == nil {
		return
	}
	if err := s.approvals.Restore(ctx, p.approval); err != nil {
		s.logger.Warn("an approval stays used although its token could not be recorded", "approval_id", p.approval.ID, "error", err)
	}
}

func (s *Service) unburnSeen(ctx context.Context, p *plan) {
	if err := s.seen.restore(ctx, p.identity); err != nil {
		s.logger.Warn("an id_token stays used although it had no credential", "role", p.bound.Role.Name, "error", err)
	}
}

// discard revokes a token that is not on record. Where that fails, a record is
// written after all, so that the queue can go on.
func (s *Service) discard(ctx context.Context, link *connect.Link, live *ledger.Live, token *providers.Token, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoBudget)
	defer cancel()
	err := s.connections.Call(ctx, link, connect.Revoke, func(ctx context.Context, c providers.Connection) error {
		return c.Revoke(ctx, providers.Handle{Value: live.Handle, MintedAt: live.IssuedAt})
	})
	if err == nil {
		return cause
	}
	live.Status, live.Killed, live.LastError, live.Attempts = ledger.Revoking, ledger.BySweep, err.Error(), 1
	live.LeaseUntil = live.IssuedAt
	if live.ExpiresAt.IsZero() {
		live.ExpiresAt = live.IssuedAt
	}
	if openErr := s.ledger.Open(ctx, live, token.Secret); openErr != nil {
		s.logger.Error("a token that was refused could be neither revoked nor recorded", "token_id", live.TokenID, "token_sha256", live.TokenSHA256, "error", err, "record_error", openErr)
		s.lost.missing(live.TokenID, s.now())
		return cause
	}
	s.revoker.Adopt(live)
	return cause
}

// takeBack revokes a token that is on record.
func (s *Service) takeBack(ctx context.Context, live *ledger.Live, cause error) error {
	if err := s.revoker.Token(ctx, live.TokenID, ledger.ByKill); err != nil {
		s.logger.Warn("a token that was not handed out is still to be revoked", "token_id", live.TokenID, "error", err)
	}
	return cause
}
