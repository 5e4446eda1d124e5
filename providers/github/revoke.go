// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"context"
	"net/http"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

// replicated is the age from which on each of GitHub's servers knows a token, so
// that "unknown" proves that it is dead: replication is a matter of a second or two.
const replicated = 4 * time.Second

// Revoke kills a token. GitHub has no other way than to be asked by the token
// itself, and answers 401 for one that is dead; but so it does for one that is so
// young that not all its servers know it. Such a one is tried again until it is old
// enough for the answer to prove something, or the context ends.
func (c *connection) Revoke(ctx context.Context, h providers.Handle) error {
	if !isToken(h.Value) {
		return fault.New(fault.Invalid, "github: the handle is not a token")
	}
	for try := 0; ; try++ {
		err := c.client.send(ctx, call{method: "DELETE", path: "installation/token", bearer: h.Value}, nil)
		status := statusOf(err)
		if status == 0 {
			return err
		}
		age := c.now().Sub(h.MintedAt)
		if status == http.StatusUnauthorized && age >= replicated {
			return nil
		}
		unknown := status == http.StatusUnauthorized || status == http.StatusForbidden
		if age >= replicated || !unknown || try == len(c.pauses) {
			return fault.New(fault.Unproven, "github: the token is not yet proven dead: %w", err)
		}
		if err := pause(ctx, c.pauses[try]); err != nil {
			return transport.Fault("github", err)
		}
	}
}

func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
