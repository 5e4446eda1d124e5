// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package connect

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/catalog"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

const (
	rotateBudget = 60 * time.Second
	// adoptTries is how often another change of the config may get in between.
	adoptTries = 5
)

// Occasion is why a credential was replaced.
type Occasion string

// The occasions.
const (
	OnRequest    Occasion = "request"
	BeforeExpiry Occasion = "expiry"
	AfterCrash   Occasion = "recovery"
)

// rotation is a replacement on its way, as it is on storage from before the platform
// may know of it until the config has it.
type rotation struct {
	// Old are the config's fields as they were, New what replaces them.
	Old map[string]string `json:"old"`
	New map[string]string `json:"new"`
	// Endpoint is where both are known.
	Endpoint string `json:"endpoint"`
}

// due reports whether the config, nil for none, still has what is to be replaced.
func (r rotation) due(c *Config) bool {
	if c == nil || c.Endpoint != r.Endpoint {
		return false
	}
	changes := false
	for field, old := range r.Old {
		if c.Values[field] != old {
			return false
		}
		changes = changes || r.New[field] != old
	}
	return changes
}

// rotations are those of this process.
type rotations struct {
	mu sync.Mutex
	// underway are closed when they end.
	underway map[string]chan struct{}
	// unsaved are those that neither the config nor the write-ahead log took.
	unsaved map[string]rotation
	// resumed is when it was last found that neither credential works.
	resumed map[string]time.Time
}

func newRotations() *rotations {
	return &rotations{
		underway: map[string]chan struct{}{}, unsaved: map[string]rotation{}, resumed: map[string]time.Time{},
	}
}

// claim keeps others from replacing the same credential meanwhile: of two that run
// into each other, a crash would lose both.
func (r *rotations) claim(name string) (release func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.underway[name] != nil {
		return nil, fault.New(fault.Conflict, "the credential of config %q is being replaced this moment", name)
	}
	done := make(chan struct{})
	r.underway[name] = done
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.underway, name)
		close(done)
	}, nil
}

// wait returns when no replacement is under way, or the context ends.
func (r *rotations) wait(ctx context.Context, name string) {
	r.mu.Lock()
	done := r.underway[name]
	r.mu.Unlock()
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Rotate has the platform replace the config's own credential. The new one is on
// storage before the old one can be lost: whatever interrupts it, ResumeRotations
// finds out which of the two is good.
func (s *Service) Rotate(ctx context.Context, name string) error {
	return s.rotate(ctx, name, OnRequest)
}

func (s *Service) rotate(ctx context.Context, name string, why Occasion) error {
	release, err := s.rotations.claim(name)
	if err != nil {
		return err
	}
	defer release()
	// Half a rotation is worse than none: a caller that goes away does not stop it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rotateBudget)
	defer cancel()
	if err := s.resume(ctx, name); err != nil {
		return err
	}
	link, err := s.Link(ctx, name)
	if err != nil {
		return err
	}
	rotator, can := link.Connection.(providers.Rotator)
	if !can {
		return fault.New(fault.Invalid, "%s cannot replace this credential by itself; make a new one there and write it to config/%s", link.Platform.Title, name)
	}
	if err := s.replace(ctx, link, rotator, why); err != nil {
		return fmt.Errorf("rotate config %q: %w", name, err)
	}
	return nil
}

// replace carries out a rotation. What the platform has answered is kept, also where
// the rest of it failed.
func (s *Service) replace(ctx context.Context, link *Link, rotator providers.Rotator, why Occasion) error {
	of := func(fields map[string]string) rotation {
		r := rotation{Old: map[string]string{}, New: fields, Endpoint: link.Config.Endpoint}
		for field := range fields {
			r.Old[field] = link.Config.Values[field]
		}
		return r
	}
	fields, err := rotator.Rotate(ctx, func(fields map[string]string) error {
		return store.Put(ctx, s.storage, store.Rotations+link.Name, of(fields))
	})
	if len(fields) == 0 {
		return err
	}
	if adoptErr := s.adoptRotation(ctx, link.Name, of(fields), why); adoptErr != nil {
		return adoptErr
	}
	if err != nil {
		return err
	}
	return store.Delete(ctx, s.storage, store.Rotations+link.Name)
}

// adoptRotation writes the new credential to where the old one is kept, unless somebody
// has written another one meanwhile. Where it cannot, memory keeps it.
func (s *Service) adoptRotation(ctx context.Context, name string, r rotation, why Occasion) error {
	changed, err := s.tryAdopt(ctx, name, r)
	s.rotations.mu.Lock()
	defer s.rotations.mu.Unlock()
	if err != nil {
		s.rotations.unsaved[name] = r
		return fmt.Errorf("keep the new credential: %w", err)
	}
	delete(s.rotations.unsaved, name)
	if changed != nil {
		s.rotated(name, changed, why)
	}
	return nil
}

// tryAdopt returns the config that has the new credential; nil where it is not due.
func (s *Service) tryAdopt(ctx context.Context, name string, r rotation) (*Config, error) {
	var conflict error
	for range adoptTries {
		table, key, old, err := s.keeper(ctx, name, r.Endpoint)
		if err != nil {
			return nil, err
		}
		if !r.due(old) {
			return nil, nil
		}
		c := r.applied(old)
		c.SetAt = maps.Clone(old.SetAt)
		for field := range r.New {
			c.SetAt[field] = s.now().UTC().Truncate(time.Second)
		}
		if conflict = table.Replace(ctx, key, old, c); !fault.Is(conflict, fault.Conflict) {
			return c, conflict
		}
	}
	return nil, conflict
}

// keeper is where the credential of a config for an endpoint is kept: with the config,
// or with what it left behind when it moved. The config is nil where nobody keeps it.
func (s *Service) keeper(ctx context.Context, name, endpoint string) (table *catalog.Table[Config], key string, c *Config, err error) {
	if c, err = s.configs.Get(ctx, name); err != nil || c != nil && c.Endpoint == endpoint {
		return s.configs, name, c, err
	}
	key = retiredKey(name, endpoint)
	c, err = s.retired.Get(ctx, key)
	return s.retired, key, c, err
}

// applied is the config with the new credential.
func (r rotation) applied(c *Config) *Config {
	next := *c
	next.Values = maps.Clone(c.Values)
	maps.Copy(next.Values, r.New)
	return &next
}
