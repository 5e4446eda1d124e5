// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package connect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

const (
	// rotateBefore is how long before its end a credential is replaced by itself.
	rotateBefore = 7 * 24 * time.Hour
	// rotateAtMost keeps credentials that never live that long from being replaced
	// with every look at them: what is new is left alone, unless it ends within it.
	rotateAtMost = 24 * time.Hour
	// hopeless is how long to leave a platform alone that accepts neither credential.
	hopeless = 5 * time.Minute
)

// ResumeRotations ends the rotations that a crash cut in two: the credential that
// the platform accepts is kept. What fails is tried again with the next call.
func (s *Service) ResumeRotations(ctx context.Context) error {
	names, err := store.List(ctx, s.storage, store.Rotations)
	if err != nil {
		return err
	}
	s.rotations.mu.Lock()
	names = slices.AppendSeq(names, maps.Keys(s.rotations.unsaved))
	s.rotations.mu.Unlock()
	slices.Sort(names)
	var failures []error
	for _, name := range slices.Compact(names) {
		release, err := s.rotations.claim(name)
		if err != nil {
			continue // it is under way
		}
		failures = append(failures, s.resume(ctx, name))
		release()
	}
	return errors.Join(failures...)
}

// resume ends what is left of a rotation; whoever calls it has claimed the config.
func (s *Service) resume(ctx context.Context, name string) error {
	r, found, err := s.unfinished(ctx, name)
	if err != nil || !found {
		return err
	}
	_, _, c, err := s.keeper(ctx, name, r.Endpoint)
	if err != nil {
		return err
	}
	if r.due(c) {
		good, err := s.judge(ctx, name, c, r)
		if err != nil {
			return fmt.Errorf("resume the rotation of config %q: %w", name, err)
		}
		if good {
			if err := s.adoptRotation(ctx, name, r, AfterCrash); err != nil {
				return fmt.Errorf("resume the rotation of config %q: %w", name, err)
			}
		}
	}
	s.rotations.mu.Lock()
	delete(s.rotations.unsaved, name)
	delete(s.rotations.resumed, name)
	s.rotations.mu.Unlock()
	return store.Delete(ctx, s.storage, store.Rotations+name)
}

// unfinished is what is left of a rotation: memory knows better than storage.
func (s *Service) unfinished(ctx context.Context, name string) (r rotation, found bool, err error) {
	s.rotations.mu.Lock()
	r, found = s.rotations.unsaved[name]
	tried := s.rotations.resumed[name]
	s.rotations.mu.Unlock()
	if s.now().Sub(tried) < hopeless {
		return r, false, nil
	}
	if found {
		return r, true, nil
	}
	found, err = store.Get(ctx, s.storage, store.Rotations+name, &r)
	return r, found, err
}

// judge asks the platform which credential is good. While it does not say, nothing
// is known and both are kept.
func (s *Service) judge(ctx context.Context, name string, c *Config, r rotation) (renewed bool, err error) {
	err = s.accepts(ctx, name, r.applied(c))
	if !fault.Is(err, fault.Unauthorized) {
		return err == nil, err
	}
	err = s.accepts(ctx, name, c)
	if fault.Is(err, fault.Unauthorized) {
		s.rotations.mu.Lock()
		s.rotations.resumed[name] = s.now()
		s.rotations.mu.Unlock()
		return false, fmt.Errorf("the platform accepts neither the old credential nor the new one: %w", err)
	}
	return false, err
}

// accepts reports whether the platform accepts a version of a config that may not
// be the one in use.
func (s *Service) accepts(ctx context.Context, name string, c *Config) error {
	platform, err := s.Platform(c.Provider)
	if err != nil {
		return err
	}
	link, err := s.connect(name, platform, c)
	if err != nil {
		return err
	}
	defer link.close()
	return link.Connection.Verify(ctx)
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
			s.logger.Warn("the config's own credential may end soon and could not be replaced", "config", name, "error", err)
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
	var end time.Time
	err = link.Gate.Do(ctx, Other, func(ctx context.Context) (err error) {
		end, err = expirer.Expires(ctx)
		return err
	})
	if err != nil || end.IsZero() {
		return err
	}
	now := s.now()
	left := end.Sub(now)
	if left > rotateBefore || left > rotateAtMost && now.Sub(link.Config.lastSet()) < rotateAtMost {
		return nil
	}
	s.logger.Info("replacing the config's own credential before it ends", "config", name, "ends", end)
	return s.rotate(ctx, name, BeforeExpiry)
}
