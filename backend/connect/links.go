// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package connect

import (
	"context"
	"fmt"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

// Link is the connection of a config as it stands now, or fault.NotFound.
func (s *Service) Link(ctx context.Context, name string) (*Link, error) {
	c, err := s.configs.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, fault.New(fault.NotFound, "there is no config %q", name)
	}
	link, err := s.link(name, c)
	if err != nil {
		return nil, err
	}
	// Here and not for every link: one to an address that the config has left must
	// not bring back the size of then.
	link.Gate.resize(c.MaxConcurrency)
	return link, nil
}

// Links are the connections of all configs, those to addresses that a config has
// left and live tokens still need included.
func (s *Service) Links(ctx context.Context) ([]*Link, error) {
	names, err := s.configs.List(ctx)
	if err != nil {
		return nil, err
	}
	var links []*Link
	for _, name := range names {
		retired, err := store.List(ctx, s.storage, store.Retired+name+"/")
		if err != nil {
			return nil, err
		}
		versions := []*Config{}
		for _, key := range retired {
			c, err := s.retired.Get(ctx, name+"/"+key)
			if err != nil {
				return nil, err
			}
			versions = append(versions, c)
		}
		c, err := s.configs.Get(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, c := range append(versions, c) {
			if c == nil {
				continue
			}
			link, err := s.link(name, c)
			if err != nil {
				return nil, err
			}
			links = append(links, link)
		}
	}
	return links, nil
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

// Call carries out a call over a link when its turn comes. Where the platform does
// not accept the credential because ours was replaced meanwhile, it is made once
// more, over the link that has the new one.
func (s *Service) Call(ctx context.Context, link *Link, call Call, f func(context.Context, providers.Connection) error) error {
	do := func(link *Link) error {
		return link.Gate.Do(ctx, call, func(ctx context.Context) error { return f(ctx, link.Connection) })
	}
	err := do(link)
	if !fault.Is(err, fault.Unauthorized) {
		return err
	}
	s.rotations.wait(ctx, link.Name)
	newer, linkErr := s.LinkAt(ctx, link.Name, link.Connection.BaseURL())
	if linkErr != nil || newer == link {
		return err
	}
	return do(newer)
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
