// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package connect

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// leastRetirement is longer than any mint takes: one that was in flight when its
// config moved may still put a token on record that is to be revoked there.
const leastRetirement = 15 * time.Minute

// Write puts c in the place of old, which is nil for a new config. Secrets that c
// leaves out are kept, except where they would then be sent elsewhere. With verify
// the platform must accept the connection first. Nothing is written on an error.
func (s *Service) Write(ctx context.Context, name string, old, c *Config, verify bool) error {
	platform, err := s.Platform(c.Provider)
	if err != nil {
		return err
	}
	if old != nil && old.Provider != c.Provider {
		return fault.InvalidField("provider", "cannot change from %q to %q; make a new config", old.Provider, c.Provider)
	}
	c.Revision = rand.Text()
	allWritten := c.keep(old, platform, s.now())
	if c.BaseURL == "" {
		c.BaseURL = platform.DefaultBaseURL
	}
	if err := c.checkFields(platform); err != nil {
		return err
	}
	link, err := s.connect(name, platform, c)
	if err != nil {
		return err
	}
	c.Endpoint = link.Connection.BaseURL()
	if old != nil && !allWritten && (c.Endpoint != old.Endpoint || c.CACert != old.CACert) {
		return fault.InvalidField(secretNames(platform), "must come in the same write when base_url or ca_cert change: a stored secret is never sent to an address that it was not written for")
	}
	if verify {
		if err := s.verify(ctx, link); err != nil {
			return err
		}
	}
	s.moving.Lock()
	defer s.moving.Unlock()
	if err := s.retire(ctx, name, old, c); err != nil {
		return err
	}
	if err := s.configs.Replace(ctx, name, old, c); err != nil {
		return err
	}
	s.adopt(link)
	// Where the config comes back to an address, its own credential is the newest.
	return s.retired.Delete(ctx, retiredKey(name, c.Endpoint))
}

// verify proves a connection before it is written. What the platform does not
// accept is the writer's to mend.
func (s *Service) verify(ctx context.Context, link *Link) error {
	ctx, cancel := context.WithTimeout(ctx, 2*link.Config.RequestTimeout)
	defer cancel()
	err := link.Connection.Verify(ctx)
	switch fault.KindOf(err) {
	case fault.Unauthorized, fault.Refused:
		return fault.New(fault.Invalid, "%s does not accept this connection: %w (verify=false writes it all the same)", link.Platform.Title, err)
	case fault.Invalid:
		return err
	}
	if err != nil {
		return fmt.Errorf("verify the connection (verify=false skips this): %w", err)
	}
	return nil
}

// retire keeps the credential for an address that the config leaves: tokens that
// were made there are revoked there.
func (s *Service) retire(ctx context.Context, name string, old, c *Config) error {
	if old == nil || old.Endpoint == c.Endpoint {
		return nil
	}
	key := retiredKey(name, old.Endpoint)
	before, err := s.retired.Get(ctx, key)
	if err != nil {
		return err
	}
	leaving := *old
	leaving.RetiredAt = s.now().UTC()
	return s.retired.Replace(ctx, key, before, &leaving)
}

func retiredKey(name, endpoint string) string {
	sum := sha256.Sum256([]byte(endpoint))
	return name + "/" + hex.EncodeToString(sum[:8])
}

// Delete removes a config that no live token needs. That no role uses it is the
// caller's to check.
func (s *Service) Delete(ctx context.Context, name string) error {
	c, err := s.configs.Get(ctx, name)
	if err != nil || c == nil {
		return err
	}
	s.moving.Lock()
	defer s.moving.Unlock()
	// In this order: a mint is counted before it asks whether the config stays.
	s.setDeleting(name)
	defer s.setDeleting("")
	live, err := s.users.LiveAt(name, "")
	if err != nil {
		return err
	}
	if live > 0 {
		return fault.New(fault.Conflict, "config %q is needed to revoke %d live token(s); revoke them first (revoke config=%s) or wait until they end", name, live, name)
	}
	if err := s.dropRetired(ctx, name, func(*Config) (bool, error) { return false, nil }); err != nil {
		return err
	}
	if err := s.configs.Delete(ctx, name); err != nil {
		return err
	}
	s.drop(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.gates, name)
	return nil
}

func (s *Service) setDeleting(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deleting = name
}

// Stays is nil where what is made over a link can be revoked afterwards. Whoever asks
// has seen to it that LiveAt counts what is to be made: the config is not deleted then.
func (s *Service) Stays(ctx context.Context, link *Link) error {
	s.mu.Lock()
	deleting := s.deleting == link.Name
	s.mu.Unlock()
	if deleting {
		return fault.New(fault.Conflict, "config %q is being deleted", link.Name)
	}
	_, err := s.LinkAt(ctx, link.Name, link.Connection.BaseURL())
	return err
}

// TidyRetired forgets the credentials for addresses that configs have left, where
// no live token needs them and no mint can still be in flight.
func (s *Service) TidyRetired(ctx context.Context) error {
	names, err := store.List(ctx, s.storage, store.Retired)
	if err != nil {
		return err
	}
	s.moving.Lock()
	defer s.moving.Unlock()
	for _, name := range names {
		name = strings.TrimSuffix(name, "/")
		err := s.dropRetired(ctx, name, func(c *Config) (needed bool, err error) {
			live, err := s.users.LiveAt(name, c.Endpoint)
			return live > 0 || s.now().Sub(c.RetiredAt) < leastRetirement, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dropRetired forgets the retired credentials of a config that are not needed;
// whoever calls it holds moving.
func (s *Service) dropRetired(ctx context.Context, name string, needed func(*Config) (bool, error)) error {
	keys, err := store.List(ctx, s.storage, store.Retired+name+"/")
	if err != nil {
		return err
	}
	for _, key := range keys {
		c, err := s.retired.Get(ctx, name+"/"+key)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		if keep, err := needed(c); err != nil {
			return err
		} else if keep {
			continue
		}
		if err := s.retired.Delete(ctx, name+"/"+key); err != nil {
			return err
		}
		s.drop(c)
	}
	return nil
}
