// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package revoke

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

const (
	// sweepGrace leaves Vault the time to end its leases itself.
	sweepGrace = 30 * time.Second
	// sweepAtOnce is how many overdue tokens are revoked at the same time; each
	// config's own gate stands behind that.
	sweepAtOnce = 64
)

// Sweep kills whatever is live past its lease: the lease was lost, the caller hung
// up after the answer, Vault or the plugin died in between. It reads only what is
// overdue. What fails is in the queue afterwards.
func (s *Service) Sweep(ctx context.Context) error {
	var overdue []string
	err := s.ledger.Overdue(ctx, sweepGrace, func(live *ledger.Live) bool {
		if live.Status == ledger.Revoking {
			s.queue.add(live)
		} else {
			overdue = append(overdue, live.TokenID)
		}
		return true
	})
	if err != nil {
		return err
	}
	workers := errgroup.Group{}
	workers.SetLimit(sweepAtOnce)
	for _, id := range overdue {
		workers.Go(func() error {
			if err := s.Token(ctx, id, ledger.BySweep); err != nil && fault.KindOf(err) == fault.Internal {
				return err
			}
			return nil
		})
	}
	return workers.Wait()
}
