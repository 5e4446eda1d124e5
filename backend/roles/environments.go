// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package roles

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// timeless is when no role is judged by the clock.
var timeless = time.Time{}

// WriteEnvironment puts an environment in the place of old. One that comes to
// require the job's identity must not strand roles that have no issuer: they are
// named, to be mended first.
func (s *Service) WriteEnvironment(ctx context.Context, name string, old, e *policy.Environment) error {
	if err := policy.CheckEnvironment(e); err != nil {
		return err
	}
	bound, err := identity.ParseBound("bound_claims", e.BoundClaims)
	if err != nil {
		return err
	}
	if e.RequireIdentity || !bound.Empty() {
		field := "bound_claims"
		if e.RequireIdentity {
			field = "require_identity"
		}
		if err := s.haveIssuers(ctx, field, name); err != nil {
			return err
		}
	}
	e.Revision = rand.Text()
	return s.catalog.Environments.Replace(ctx, name, old, e)
}

// haveIssuers is fault.Invalid for the field that asks for it where roles of the
// environment have no issuer.
func (s *Service) haveIssuers(ctx context.Context, field, environment string) error {
	var without []string
	err := s.catalog.Roles.Each(ctx, func(name string, r *policy.Role) bool {
		if r.Environment == environment && r.Issuer == "" {
			without = append(without, name)
		}
		return true
	})
	if err != nil {
		return err
	}
	if len(without) > 0 {
		return fault.InvalidField(field, "identity would be required of every role in %q, and these have no issuer: %s; give them one first", environment, strings.Join(without, ", "))
	}
	return nil
}
