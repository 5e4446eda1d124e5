// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package revoke

import (
	"context"
	"maps"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
)

// addUnread owes a token whose record could not be read.
func (q *queue) addUnread(id string, by ledger.Cause) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, known := q.of[id]; !known {
		q.unread[id] = by
	}
}

// claimUnread gives them to somebody who reads them, unless somebody does. Whoever
// calls it holds mu.
func (q *queue) claimUnread() map[string]ledger.Cause {
	if q.reading || len(q.unread) == 0 {
		return nil
	}
	q.reading = true
	return maps.Clone(q.unread)
}

// readAgain moves tokens whose records can be read by now to their lanes.
func (s *Service) readAgain(ctx context.Context, unread map[string]ledger.Cause) {
	for id, by := range unread {
		if ctx.Err() != nil {
			break
		}
		_ = s.enqueue(ctx, id, by) // what fails stays to be read
	}
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	s.queue.reading = false
}
