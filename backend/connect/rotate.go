// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package connect

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

const (
	// rotateBefore is how long before its end a credential is replaced by itself.
	rotateBefore = 7 * 24 * time.Hour
	rotateBudget = 60 * time.Second
)

// Rotate has the platform replace the config's own credential. The new one is on
// storage before the old one can be lost: whatever interrupts it, ResumeRotations
// finds out which of the two is good.
func (s *Service) Rotate(ctx context.Context, name string) error {
	link, err := s.Link(ctx, name)
	if err != nil {
		return err
	}
	rotator, can := link.Connection.(providers.Rotator)
	if !can {
		return fault.New(fault.Invalid, "%s cannot replace this credential by itself; make a new one there and write it to config/%s", link.Platform.Title, name)
	}
	// Half a rotation is worse than none: a caller that goes away does not stop it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rotateBudget)
	defer cancel()
	prepare := func(fields map[string]string) error {
		return store.Put(ctx, s.storage, store.Rotations+name, fields)
	}
	fields, err := rotator.Rotate(ctx, prepare)
	if len(fields) > 0 {
		if adoptErr := s.adoptFields(ctx, name, link.Config, fields); adoptErr != nil {
			return fmt.Errorf("rotate config %q: %w", name, adoptErr)
		}
	}
	if err != nil {
		return fmt.Errorf("rotate config %q: %w", name, err)
	}
	return store.Delete(ctx, s.storage, store.Rotations+name)
}

// adoptFields writes changed fields into the config as it stands.
func (s *Service) adoptFields(ctx context.Context, name string, old *Config, fields map[string]string) error {
	c := *old
	c.Values, c.SetAt = maps.Clone(old.Values), maps.Clone(old.SetAt)
	maps.Copy(c.Values, fields)
	for field := range fields {
		c.SetAt[field] = s.now().UTC().Truncate(time.Second)
	}
	return s.configs.Replace(ctx, name, old, &c)
}

// ResumeRotations ends the rotations that a crash cut in two: the credential that
// the platform accepts is kept.
func (s *Service) ResumeRotations(ctx context.Context) error {
	names, err := store.List(ctx, s.storage, store.Rotations)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.resumeRotation(ctx, name); err != nil {
			return fmt.Errorf("resume the rotation of config %q: %w", name, err)
		}
	}
	return nil
}

func (s *Service) resumeRotation(ctx context.Context, name string) error {
	var fields map[string]string
	found, err := store.Get(ctx, s.storage, store.Rotations+name, &fields)
	if err != nil || !found {
		return err
	}
	old, err := s.configs.Get(ctx, name)
	if err != nil {
		return err
	}
	if old == nil {
		return store.Delete(ctx, s.storage, store.Rotations+name)
	}
	next := *old
	next.Values = maps.Clone(old.Values)
	maps.Copy(next.Values, fields)
	platform, err := s.Platform(next.Provider)
	if err != nil {
		return err
	}
	link, err := s.connect(name, platform, &next)
	if err != nil {
		return err
	}
	defer link.close()
	err = link.Connection.Verify(ctx)
	switch {
	case err == nil:
		if err := s.adoptFields(ctx, name, old, fields); err != nil {
			return err
		}
	case !fault.Is(err, fault.Unauthorized):
		return err // the platform is not there: nothing is known, all is kept
	}
	return store.Delete(ctx, s.storage, store.Rotations+name)
}

// RotateExpiring replaces the credentials that end within a week, and logs what
// fails: the next round tries again.
func (s *Service) RotateExpiring(ctx context.Context) error {
	names, err := s.configs.List(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.rotateIfExpiring(ctx, name); err != nil {
			s.logger.Warn("the config's own credential ends soon and could not be replaced", "config", name, "error", err)
		}
	}
	return nil
}

func (s *Service) rotateIfExpiring(ctx context.Context, name string) error {
	link, err := s.Link(ctx, name)
	if err != nil {
		return err
	}
	expirer, ends := link.Connection.(providers.Expirer)
	_, rotates := link.Connection.(providers.Rotator)
	if !ends || !rotates {
		return nil
	}
	end, err := expirer.Expires(ctx)
	if err != nil || end.IsZero() || end.Sub(s.now()) > rotateBefore {
		return err
	}
	s.logger.Info("replacing the config's own credential before it ends", "config", name, "ends", end)
	return s.Rotate(ctx, name)
}
