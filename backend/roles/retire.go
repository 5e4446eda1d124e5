// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package roles

import (
	"context"
	"fmt"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Delete removes a role. What its platform keeps for it goes when no token of it
// lives any more.
func (s *Service) Delete(ctx context.Context, name string) error {
	role, err := s.catalog.Roles.Get(ctx, name)
	if err != nil || role == nil {
		return err
	}
	if err := s.retire(ctx, role.Config, name); err != nil {
		return err
	}
	return s.catalog.Roles.Delete(ctx, name)
}

// retire notes that a platform may keep something for a role that leaves it.
func (s *Service) retire(ctx context.Context, config, role string) error {
	link, err := s.connections.Link(ctx, config)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, keeps := link.Connection.(providers.Retirer); !keeps {
		return nil
	}
	return store.Put(ctx, s.storage, store.Retirements+config+"/"+role, s.Subject(role))
}

// Retire removes from the platforms what they keep for roles that are gone and have
// no live token. What fails is tried again with the next call.
func (s *Service) Retire(ctx context.Context) error {
	if !s.live.Ready() {
		return nil
	}
	configs, err := store.List(ctx, s.storage, store.Retirements)
	if err != nil {
		return err
	}
	for _, config := range configs {
		config = strings.TrimSuffix(config, "/")
		roles, err := store.List(ctx, s.storage, store.Retirements+config+"/")
		if err != nil {
			return err
		}
		for _, role := range roles {
			if err := s.retireOne(ctx, config, role); err != nil {
				return fmt.Errorf("retire role %q at config %q: %w", role, config, err)
			}
		}
	}
	return nil
}

func (s *Service) retireOne(ctx context.Context, config, role string) error {
	key := store.Retirements + config + "/" + role
	current, err := s.catalog.Roles.Get(ctx, role)
	if err != nil {
		return err
	}
	if current != nil && current.Config == config {
		return store.Delete(ctx, s.storage, key) // it has come back
	}
	if s.live.LiveOf(role) > 0 {
		return nil
	}
	var subject string
	if _, err := store.Get(ctx, s.storage, key, &subject); err != nil {
		return err
	}
	link, err := s.connections.Link(ctx, config)
	if fault.Is(err, fault.NotFound) {
		return store.Delete(ctx, s.storage, key) // nobody is left who could
	}
	if err != nil {
		return err
	}
	if retirer, keeps := link.Connection.(providers.Retirer); keeps {
		if err := retirer.Retire(ctx, subject); err != nil {
			return err
		}
	}
	return store.Delete(ctx, s.storage, key)
}
