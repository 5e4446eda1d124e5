// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea

import (
	"context"
	"net/http"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Rotate implements providers.Rotator: the administrator gives itself a new
// password. We choose it, so prepare always learns it before the server does. An
// error of kind Unavailable leaves open which of the two holds.
func (c *connection) Rotate(ctx context.Context, prepare func(map[string]string) error) (map[string]string, error) {
	me, err := c.self(ctx)
	if err != nil {
		return nil, err
	}
	if me.SourceID != 0 {
		return nil, fault.New(fault.Refused, "gitea: the password of %s is kept by another login source; replace it there", me.Login)
	}
	password := newPassword()
	fields := map[string]string{"password": password}
	if prepare != nil {
		if err := prepare(fields); err != nil {
			return nil, err
		}
	}
	loginName := me.LoginName
	if loginName == "" {
		loginName = me.Login // the server wants one, and uses none for a password of its own
	}
	changed := c.client.do(ctx, request{
		method: http.MethodPatch, path: pathf("/admin/users/%s", me.Login), secret: password,
		in: map[string]any{"login_name": loginName, "source_id": 0, "password": password, "must_change_password": false},
	})
	if changed != nil && !fault.Is(changed, fault.Unavailable) {
		return nil, unexpected(changed, "the account %s is gone", me.Login)
	}
	// The proof also settles what a lost answer leaves open.
	renewed := *c.client
	renewed.password = password
	proof := (&connection{client: &renewed, logger: c.logger}).Verify(ctx)
	if proof == nil {
		return fields, nil
	}
	if changed != nil {
		return nil, changed
	}
	return nil, proof
}
