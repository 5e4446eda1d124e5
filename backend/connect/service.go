// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package connect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/catalog"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/metrics"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

// mostAnswer bounds the answer of a platform in bytes: five hundred repositories
// at six kilobytes each, and room.
const mostAnswer = 16 << 20

// Link is one version of a config, connected.
type Link struct {
	Name       string
	Config     *Config
	Platform   providers.Platform
	Connection providers.Connection
	Gate       *Gate
	close      func()
}

// Users tells who still needs a config.
type Users interface {
	// LiveAt counts the tokens that are not known to be dead and were made through
	// the config at that endpoint; an empty endpoint counts all. It is
	// fault.Unavailable while that is not known yet.
	LiveAt(config, endpoint string) (int, error)
}

// Service keeps the configs of one mount.
type Service struct {
	platforms []providers.Platform
	configs   *catalog.Table[Config]
	retired   *catalog.Table[Config]
	storage   logical.Storage
	users     Users
	now       func() time.Time
	logger    hclog.Logger
	metrics   *metrics.Metrics

	mu    sync.Mutex
	links map[*Config]*Link
	gates map[string]*Gate
}

// New makes the service.
func New(storage logical.Storage, platforms []providers.Platform, users Users, now func() time.Time, logger hclog.Logger, m *metrics.Metrics) *Service {
	return &Service{
		platforms: platforms,
		configs:   catalog.NewTable[Config]("config", store.Configs, storage),
		retired:   catalog.NewTable[Config]("retired config", store.Retired, storage),
		storage:   storage, users: users, now: now, logger: logger, metrics: m,
		links: map[*Config]*Link{}, gates: map[string]*Gate{},
	}
}

// Forget drops what memory knows of a storage key that was changed elsewhere.
func (s *Service) Forget(key string) {
	s.configs.Forget(key)
	s.retired.Forget(key)
}

// Platforms are the platforms that a config can connect to.
func (s *Service) Platforms() []providers.Platform { return s.platforms }

// Platform returns the platform of that name, or fault.Invalid.
func (s *Service) Platform(name string) (providers.Platform, error) {
	var names []string
	for _, p := range s.platforms {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return providers.Platform{}, fault.InvalidField("provider", "must be one of %s", strings.Join(names, ", "))
}

// Get returns a config, or nil where there is none.
func (s *Service) Get(ctx context.Context, name string) (*Config, error) {
	return s.configs.Get(ctx, name)
}

// List lists the names of the configs.
func (s *Service) List(ctx context.Context) ([]string, error) { return s.configs.List(ctx) }

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
	if err := s.retire(ctx, name, old, c); err != nil {
		return err
	}
	if err := s.configs.Replace(ctx, name, old, c); err != nil {
		return err
	}
	s.adopt(link)
	return nil
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
	if key := retiredKey(name, c.Endpoint); old == nil || old.Endpoint != c.Endpoint {
		if err := s.retired.Delete(ctx, key); err != nil {
			return err
		}
	}
	if old == nil || old.Endpoint == c.Endpoint {
		return nil
	}
	key := retiredKey(name, old.Endpoint)
	before, err := s.retired.Get(ctx, key)
	if err != nil {
		return err
	}
	return s.retired.Replace(ctx, key, before, old)
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
	live, err := s.users.LiveAt(name, "")
	if err != nil {
		return err
	}
	if live > 0 {
		return fault.New(fault.Conflict, "config %q is needed to revoke %d live token(s); revoke them first (revoke config=%s) or wait until they end", name, live, name)
	}
	if err := s.DropRetired(ctx, name); err != nil {
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

// DropRetired forgets the retired credentials of a config that no live token needs
// any more.
func (s *Service) DropRetired(ctx context.Context, name string) error {
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
		if live, err := s.users.LiveAt(name, c.Endpoint); err != nil || live > 0 {
			return err
		}
		if err := s.retired.Delete(ctx, name+"/"+key); err != nil {
			return err
		}
		s.drop(c)
	}
	return nil
}

// TidyRetired does DropRetired for all configs.
func (s *Service) TidyRetired(ctx context.Context) error {
	names, err := store.List(ctx, s.storage, store.Retired)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.DropRetired(ctx, strings.TrimSuffix(name, "/")); err != nil {
			return err
		}
	}
	return nil
}

// Link is the connection of a config as it stands now, or fault.NotFound.
func (s *Service) Link(ctx context.Context, name string) (*Link, error) {
	c, err := s.configs.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, fault.New(fault.NotFound, "there is no config %q", name)
	}
	return s.link(name, c)
}

// LinkAt is the newest connection of a config to the given endpoint: where tokens
// that were made there are revoked.
func (s *Service) LinkAt(ctx context.Context, name, endpoint string) (*Link, error) {
	c, err := s.configs.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if c == nil || c.Endpoint != endpoint {
		if c, err = s.retired.Get(ctx, retiredKey(name, endpoint)); err != nil {
			return nil, err
		}
	}
	if c == nil {
		return nil, fault.New(fault.Unauthorized, "there is no credential left for config %q at %s; write the config again with that base_url", name, endpoint)
	}
	return s.link(name, c)
}

// link gives the connection of one version of a config, made once.
func (s *Service) link(name string, c *Config) (*Link, error) {
	s.mu.Lock()
	link := s.links[c]
	s.mu.Unlock()
	if link != nil {
		return link, nil
	}
	platform, err := s.Platform(c.Provider)
	if err != nil {
		return nil, err
	}
	link, err = s.connect(name, platform, c)
	if err != nil {
		return nil, fmt.Errorf("config %q: %w", name, err)
	}
	return s.adopt(link), nil
}

// adopt makes a link the one for its version and drops those of replaced versions,
// whose calls in flight go on undisturbed.
func (s *Service) adopt(link *Link) *Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.links[link.Config]; known != nil {
		return known
	}
	for c, other := range s.links {
		if other.Name == link.Name && c.Endpoint == link.Config.Endpoint {
			delete(s.links, c)
			other.close()
		}
	}
	s.links[link.Config] = link
	link.Gate.resize(link.Config.MaxConcurrency)
	return link
}

func (s *Service) drop(c *Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if link := s.links[c]; link != nil {
		delete(s.links, c)
		link.close()
	}
}

// Close lets go of all idle connections.
func (s *Service) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, link := range s.links {
		delete(s.links, c)
		link.close()
	}
}

// connect makes the connection without any I/O.
func (s *Service) connect(name string, platform providers.Platform, c *Config) (*Link, error) {
	if err := c.checkCommon(); err != nil {
		return nil, err
	}
	baseURL, err := transport.ParseBaseURL("base_url", c.BaseURL)
	if err != nil {
		return nil, err
	}
	client, err := transport.New(transport.Options{CACert: c.CACert, Timeout: c.RequestTimeout, MaxAnswerBytes: mostAnswer})
	if err != nil {
		return nil, err
	}
	connection, err := platform.Connect(providers.Settings{
		BaseURL: baseURL, Values: c.Values, Client: client, Now: s.now,
		Logger: s.logger.With("config", name),
	})
	if err != nil {
		return nil, err
	}
	return &Link{
		Name: name, Config: c, Platform: platform, Connection: connection,
		Gate: s.gate(name, c.MaxConcurrency), close: client.CloseIdleConnections,
	}, nil
}

func (s *Service) gate(name string, size int) *Gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gates[name] == nil {
		s.gates[name] = newGate(name, size, s.now, s.metrics)
	}
	return s.gates[name]
}
