// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// mortality is when a process dies.
type mortality struct {
	death
	dead chan struct{}
	over chan struct{}

	mu    sync.Mutex
	count int
}

var errDead = errors.New("the process is dead")

func newMortality(at death) *mortality {
	return &mortality{death: at, dead: make(chan struct{}), over: make(chan struct{})}
}

// do carries out a step, unless the process is dead or dies of it. Who is dead comes
// no further until the test is over.
func (m *mortality) do(step func() error) error {
	m.mu.Lock()
	m.count++
	dying := m.count == m.step
	dead := m.isDead()
	if dying && !dead {
		close(m.dead)
	}
	m.mu.Unlock()
	if !dead && (!dying || m.after) {
		if err := step(); !dying {
			return err
		}
	}
	<-m.over
	return errDead
}

// wait holds a dead process back.
func (m *mortality) wait() {
	m.mu.Lock()
	dead := m.isDead()
	m.mu.Unlock()
	if dead {
		<-m.over
	}
}

func (m *mortality) isDead() bool {
	select {
	case <-m.dead:
		return true
	default:
		return false
	}
}

func (m *mortality) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.isDead() {
		close(m.dead)
	}
}

func (m *mortality) made() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}

func (m *mortality) end() { close(m.over) }

// mortalStorage is storage as a process sees it that dies at a write.
type mortalStorage struct {
	logical.Storage
	life *mortality
}

func (s *mortalStorage) Put(ctx context.Context, entry *logical.StorageEntry) error {
	return s.life.do(func() error { return s.Storage.Put(ctx, entry) })
}

func (s *mortalStorage) Delete(ctx context.Context, key string) error {
	return s.life.do(func() error { return s.Storage.Delete(ctx, key) })
}

func (s *mortalStorage) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	s.life.wait()
	return s.Storage.Get(ctx, key)
}

func (s *mortalStorage) List(ctx context.Context, prefix string) ([]string, error) {
	s.life.wait()
	return s.Storage.List(ctx, prefix)
}

// fragile is a GitLab whose caller may die while it makes or kills a token.
type fragile struct {
	*gitlabtest.Instance
	clock  *clock
	server *httptest.Server
	own    string

	mu   sync.Mutex
	life *mortality
}

func newFragile(t *testing.T, clock *clock) *fragile {
	g := &fragile{Instance: gitlabtest.New(clock.now), clock: clock}
	g.server = httptest.NewServer(g)
	t.Cleanup(g.server.Close)
	t.Cleanup(g.Instance.Close)
	user := g.AddUser("vault")
	g.SetMember(user, "acme", gitlabtest.Maintainer)
	g.AddProject("acme/web")
	g.own = g.AddPersonalToken(user, "vault", []string{"api"}, clock.now().AddDate(0, 0, 30))
	return g
}

// mortal has requests from now on counted as steps of a life; nil is immortality.
func (g *fragile) mortal(life *mortality) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.life = life
}

func (g *fragile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	life := g.life
	g.mu.Unlock()
	if life == nil || r.Method == http.MethodGet {
		g.Instance.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	if life.do(func() error { g.Instance.ServeHTTP(answer, r); return nil }) != nil {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}
