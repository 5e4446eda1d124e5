// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package revoke

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
)

const (
	// sweepGrace leaves Vault the time to end its leases itself.
	sweepGrace = 30 * time.Second
	// atOnce is how many tokens are revoked or marked at the same time; each config's
	// own gate stands behind that.
	atOnce = 64
)

// Sweep kills whatever is live past its lease: the lease was lost, the caller hung
// up after the answer, Vault or the plugin died in between. It reads only what is
// overdue. What fails, and what is made at a platform that is down, is in the queue
// afterwards.
func (s *Service) Sweep(ctx context.Context) error {
	var overdue []*ledger.Live
	err := s.ledger.Overdue(ctx, sweepGrace, func(live *ledger.Live) bool {
		if live.Status == ledger.Revoking {
			s.queue.add(live)
			return true
		}
		overdue = append(overdue, &ledger.Live{Record: ledger.Record{TokenID: live.TokenID, Config: live.Config, BaseURL: live.BaseURL}})
		return true
	})
	if err != nil {
		return err
	}
	return each(ctx, overdue, func(live *ledger.Live) error {
		if s.queue.closed(laneOf(&live.Record)) {
			return s.enqueue(ctx, live.TokenID, ledger.BySweep)
		}
		if err := s.Token(ctx, live.TokenID, ledger.BySweep); err != nil {
			s.queue.failed(laneOf(&live.Record), live.TokenID, err)
		}
		return nil // the failure is in the token's record
	})
}

// each does something to some tokens, a few at once, until the context ends.
func each(ctx context.Context, tokens []*ledger.Live, do func(*ledger.Live) error) error {
	failures := make([]error, len(tokens))
	workers := errgroup.Group{}
	workers.SetLimit(atOnce)
	for i, live := range tokens {
		if ctx.Err() != nil {
			break
		}
		workers.Go(func() error {
			failures[i] = do(live)
			return nil
		})
	}
	_ = workers.Wait()
	return errors.Join(failures...)
}
