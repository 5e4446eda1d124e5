// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package connect

import (
	"context"
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
	// LiveAt counts the tokens that are not known to be dead and were made, or are
	// being made, through the config at that endpoint; an empty endpoint counts all. It is
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

	// rotated is told of each credential of ours that was replaced.
	rotated   func(name string, c *Config, why Occasion)
	rotations *rotations

	// moving orders changes of address and the dropping of what they left behind. It
	// is held over our own storage, never over a platform.
	moving sync.Mutex

	mu    sync.Mutex
	links map[*Config]*Link
	gates map[string]*Gate
	// deleting names the config that is being deleted.
	deleting string
}

// New makes the service. rotated is told of each credential of ours that was
// replaced.
func New(storage logical.Storage, platforms []providers.Platform, users Users, rotated func(string, *Config, Occasion), now func() time.Time, logger hclog.Logger, m *metrics.Metrics) *Service {
	return &Service{
		platforms: platforms,
		configs:   catalog.NewTable[Config]("config", store.Configs, storage),
		retired:   catalog.NewTable[Config]("retired config", store.Retired, storage),
		storage:   storage, users: users, now: now, logger: logger, metrics: m,
		rotated: rotated, rotations: newRotations(),
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
