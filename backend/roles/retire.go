// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package roles

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/connect"
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

// DeleteConfig removes a config that no role uses and no live token needs. After it
// nobody could remove what its platform keeps for roles that are gone: that goes
// first. A platform that is gone too does not keep the config alive.
func (s *Service) DeleteConfig(ctx context.Context, name string) error {
	if err := s.catalog.ConfigUnused(ctx, name); err != nil {
		return err
	}
	if err := s.RetireAt(ctx, name); err != nil {
		s.logger.Warn("the platform may still keep something for roles that are gone", "config", name, "error", err)
	}
	return s.connections.Delete(ctx, name)
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
// no live token. What fails is tried again with the next call, and holds up nothing
// else.
func (s *Service) Retire(ctx context.Context) error {
	configs, err := store.List(ctx, s.storage, store.Retirements)
	if err != nil {
		return err
	}
	var failures []error
	for _, config := range configs {
		failures = append(failures, s.RetireAt(ctx, strings.TrimSuffix(config, "/")))
	}
	return errors.Join(failures...)
}

// RetireAt does it for one config.
func (s *Service) RetireAt(ctx context.Context, config string) error {
	if !s.live.Ready() {
		return nil
	}
	names, err := store.List(ctx, s.storage, store.Retirements+config+"/")
	if err != nil {
		return err
	}
	var failures []error
	for _, role := range names {
		err := s.retireOne(ctx, config, role)
		if fault.Is(err, fault.Conflict) {
			continue // a token lives there; its end is looked after
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("retire role %q at config %q: %w", role, config, err))
		}
		if fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Limited) || fault.Is(err, fault.Unauthorized) {
			break // so are the others
		}
	}
	return errors.Join(failures...)
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
	if current == nil && s.live.LiveOf(role) > 0 {
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
		err := link.Gate.Do(ctx, connect.Other, func(ctx context.Context) error { return retirer.Retire(ctx, subject) })
		if err != nil {
			return err
		}
	}
	return store.Delete(ctx, s.storage, key)
}
