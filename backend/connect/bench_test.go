// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package connect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/metrics"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea/giteatest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// bench is a service with one config, root, at a simulated platform.
type bench struct {
	t         *testing.T
	service   *Service
	storage   *storage
	platform  providers.Platform
	baseURL   string
	values    map[string]string
	gitlab    *gitlabtest.Instance
	occasions []Occasion

	mu sync.Mutex
	at time.Time
}

// sites are the platforms whose credential can be replaced.
func sites() map[string]func(*testing.T, *bench) {
	return map[string]func(*testing.T, *bench){
		"GitLab with a twin":    gitlabWithTwin,
		"GitLab without a twin": func(t *testing.T, b *bench) { b.newGitLab(t, 30, false) },
		"Forgejo":               forgejo,
	}
}

func gitlabWithTwin(t *testing.T, b *bench) { b.newGitLab(t, 30, true) }

// newGitLab makes a GitLab with our user, whose tokens live for so many days.
func (b *bench) newGitLab(t *testing.T, days int, twin bool) {
	b.gitlab = gitlabtest.New(b.now)
	server := httptest.NewServer(b.gitlab)
	t.Cleanup(server.Close)
	t.Cleanup(b.gitlab.Close)
	user, end := b.gitlab.AddUser("vault"), b.now().AddDate(0, 0, days)
	if twin {
		b.gitlab.AddPersonalToken(user, "vault", []string{"api"}, end)
	}
	b.platform, b.baseURL = gitlab.Platform(), server.URL
	b.values = map[string]string{"token": b.gitlab.AddPersonalToken(user, "vault", []string{"api"}, end)}
}

func forgejo(t *testing.T, b *bench) {
	f := giteatest.NewForgejo(t, "acme/web")
	b.platform, b.baseURL = gitea.Platform(), f.URL
	b.values = map[string]string{"username": f.Admin, "password": f.Password}
}

func newBench(t *testing.T, newSite func(*testing.T, *bench)) *bench {
	t.Helper()
	b := &bench{t: t, storage: &storage{Storage: &logical.InmemStorage{}}, at: time.Date(2030, 5, 6, 7, 8, 9, 0, time.UTC)}
	newSite(t, b)
	b.restart()
	b.write(func(c *Config) { c.Provider, c.BaseURL, c.Values = b.platform.Name, b.baseURL, b.values })
	return b
}

// restart is a successor over the same storage.
func (b *bench) restart() {
	rotated := func(_ string, _ *Config, why Occasion) { b.occasions = append(b.occasions, why) }
	platforms := []providers.Platform{b.platform}
	if b.service != nil {
		platforms = b.service.platforms
	}
	b.service = New(b.storage, platforms, nobody{}, rotated, b.now, hclog.NewNullLogger(), metrics.New())
	b.t.Cleanup(b.service.Close)
}

// nobody needs a config.
type nobody struct{}

func (nobody) LiveAt(string, string) (int, error) { return 0, nil }

func (b *bench) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at
}

func (b *bench) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = b.at.Add(d)
}

func (b *bench) config() *Config {
	b.t.Helper()
	c, err := b.service.Get(b.t.Context(), "root")
	require.NoError(b.t, err)
	return c
}

func (b *bench) token() string { return b.config().Values["token"] }

// write changes the config as an operator does.
func (b *bench) write(change func(*Config)) {
	b.t.Helper()
	old := b.config()
	c := &Config{RequestTimeout: DefaultRequestTimeout, MaxConcurrency: DefaultMaxConcurrency}
	if old != nil {
		c.Provider, c.BaseURL = old.Provider, old.BaseURL
		c.Values = map[string]string{}
		if name := old.Values["username"]; name != "" {
			c.Values["username"] = name
		}
	}
	change(c)
	require.NoError(b.t, b.service.Write(b.t.Context(), "root", old, c, true))
}

// verify proves the credential that a mint would use now.
func (b *bench) verify() error {
	b.t.Helper()
	link, err := b.service.Link(b.t.Context(), "root")
	require.NoError(b.t, err)
	return link.Connection.Verify(b.t.Context())
}

func plainSum(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// unable takes away all that a connection offers beside the least.
func unable(connect func(providers.Settings) (providers.Connection, error)) func(providers.Settings) (providers.Connection, error) {
	return func(s providers.Settings) (providers.Connection, error) {
		c, err := connect(s)
		return struct{ providers.Connection }{c}, err
	}
}

// storage counts writes and lets something happen at one of them.
type storage struct {
	logical.Storage
	mu    sync.Mutex
	write int
	meet  func(n int, write func() error) error
	onKey func(key string)
}

func (s *storage) Put(ctx context.Context, entry *logical.StorageEntry) error {
	s.mu.Lock()
	onKey := s.onKey
	s.mu.Unlock()
	if onKey != nil {
		onKey(entry.Key)
	}
	return s.count(func() error { return s.Storage.Put(ctx, entry) })
}

func (s *storage) Delete(ctx context.Context, key string) error {
	return s.count(func() error { return s.Storage.Delete(ctx, key) })
}

func (s *storage) count(write func() error) error {
	s.mu.Lock()
	s.write++
	n, meet := s.write, s.meet
	s.mu.Unlock()
	if meet == nil {
		return write()
	}
	return meet(n, write)
}

// set counts from here.
func (s *storage) set(meet func(n int, write func() error) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write, s.meet = 0, meet
}

func (s *storage) heal() { s.set(nil) }

func (s *storage) failFrom(point int) {
	s.set(func(n int, write func() error) error {
		if n >= point {
			return errStorage
		}
		return write()
	})
}

func (s *storage) dieAt(point int, after bool) {
	s.set(func(n int, write func() error) error {
		if n == point && !after {
			die()
		}
		err := write()
		if n == point {
			die()
		}
		return err
	})
}

// onPut does something before the first write below a prefix.
func (s *storage) onPut(prefix string, do func()) {
	var once sync.Once
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onKey = func(key string) {
		if strings.HasPrefix(key, prefix) {
			once.Do(do)
		}
	}
}

// onWrite does something else right after that write.
func (s *storage) onWrite(point int, do func()) {
	s.set(func(n int, write func() error) error {
		err := write()
		if n == point {
			do()
		}
		return err
	})
}
