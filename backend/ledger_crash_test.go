// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// The process dies at each of its steps towards storage and towards the platform,
// before the step and after it. Vault forgets its leases meanwhile. Whatever the
// step, the next process leaves no token live and tells each story once, whole and
// in order.
func TestLedgerCrashAtEachStep(t *testing.T) {
	steps := crashAt(t, 0, false)
	require.Greater(t, steps, 15, "the life of tokens has become too short to prove anything")
	t.Logf("%d steps", steps)
	t.Run("at", func(t *testing.T) {
		for step := 1; step <= steps; step++ {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("step %d, after it: %t", step, after), func(t *testing.T) {
					t.Parallel()
					crashAt(t, step, after)
				})
			}
		}
	})
}

// crashAt lets a process live some tokens' lives until it dies at the given step (0:
// never), and a second one clear up. It returns the steps that the first one made.
func crashAt(t *testing.T, step int, after bool) int {
	clock := newClock()
	g := newFragile(t, clock)
	kept := &logical.InmemStorage{}
	setUp := g.process(t, kept)
	setUp.must(t, "config/gitlab", map[string]any{
		"provider": "gitlab", "base_url": g.server.URL, "token": g.own, "request_timeout": 300,
	})
	setUp.must(t, "environments/dev", map[string]any{"description": "where it may break"})
	for _, role := range []string{"one", "other"} {
		setUp.must(t, "roles/"+role, map[string]any{
			"config": "gitlab", "stage": "release", "environment": "dev", "owner": "team-web", "purpose": "release the site",
			"repositories": []string{"acme/web"}, "permissions": []string{"repository=write"}, "ttl": 300,
		})
	}

	life := newMortality(step, after)
	t.Cleanup(life.end)
	g.mortal(life)
	first := g.process(t, &mortalStorage{Storage: kept, life: life})
	first.worker.start()
	lived := make(chan struct{})
	go func() {
		defer close(lived)
		first.live(life)
	}()
	select {
	case <-lived:
	case <-life.dead:
	case <-time.After(time.Minute):
		t.Fatal("the first process neither lived its life nor died")
	}
	made := life.made()
	life.kill()

	g.mortal(nil)
	clock.advance(10 * time.Minute) // past every lease
	second := g.process(t, kept)
	second.worker.start()
	require.Eventually(t, func() bool { return len(g.Live()) == 0 && len(second.listed(t)) == 0 }, time.Minute, 20*time.Millisecond, "tokens are left")
	second.requireStories(t)
	return made
}

// live is what happens to tokens in the life of a process. Failures are the lot of
// one that dies.
func (p *process) live(life *mortality) {
	read := func(role string) (id, token string, secret *logical.Secret) {
		resp, err := p.do(logical.ReadOperation, "creds/"+role, nil)
		if err != nil || resp.IsError() {
			return "", "", nil
		}
		return resp.Data["token_id"].(string), resp.Data["token"].(string), resp.Secret
	}
	ask := func(path string, body map[string]any) { _, _ = p.do(logical.UpdateOperation, path, body) }

	id, token, lease := read("one")
	ask("tokens/"+id+"/use", map[string]any{"action": "push", "token": token})
	ask("introspect", map[string]any{"token": token})
	if lease != nil {
		lease.IssueTime = p.now()
		_, _ = p.HandleRequest(context.Background(), &logical.Request{Operation: logical.RenewOperation, Secret: lease, Storage: p.storage})
		_, _ = p.HandleRequest(context.Background(), &logical.Request{Operation: logical.RevokeOperation, Secret: lease, Storage: p.storage})
	}
	_, token, _ = read("one")
	ask("exposed", map[string]any{"token": token, "where": "a build log"})
	read("other")
	read("other")
	ask("revoke", map[string]any{"role": "other"})
	read("one") // its lease is lost
	ask("events", nil)
}

// process is an engine with its own view of storage.
type process struct {
	*Backend
	storage logical.Storage
	now     func() time.Time
}

func (g *fragile) process(t *testing.T, storage logical.Storage) *process {
	t.Helper()
	engine, err := New(t.Context(), &logical.BackendConfig{
		StorageView: storage, Logger: hclog.NewNullLogger(), BackendUUID: "5e1f-mount",
		System: &logical.StaticSystemView{DefaultLeaseTTLVal: time.Hour, MaxLeaseTTLVal: 24 * time.Hour},
	}, g.clock.now)
	require.NoError(t, err)
	t.Cleanup(func() { engine.Cleanup(context.WithoutCancel(t.Context())) })
	return &process{engine, storage, g.clock.now}
}

func (p *process) do(op logical.Operation, path string, body map[string]any) (*logical.Response, error) {
	return p.HandleRequest(context.Background(), &logical.Request{
		Operation: op, Path: path, Data: body, Storage: p.storage, DisplayName: "token-job",
	})
}

func (p *process) must(t *testing.T, path string, body map[string]any) *logical.Response {
	t.Helper()
	resp, err := p.do(logical.UpdateOperation, path, body)
	require.NoError(t, err)
	require.False(t, resp.IsError(), "%s: %v", path, resp)
	return resp
}

func (p *process) listed(t *testing.T) []string {
	t.Helper()
	resp, err := p.do(logical.ListOperation, "tokens", nil)
	require.NoError(t, err)
	keys, _ := resp.Data["keys"].([]string)
	return keys
}

// requireStories holds the log against itself and the records.
func (p *process) requireStories(t *testing.T) {
	t.Helper()
	type story struct{ issued, ended int }
	stories, last := map[string]*story{}, ""
	for i, line := range p.must(t, "events", map[string]any{"limit": 1000}).Data["events"].([]string) {
		var e struct {
			Cursor  string `json:"cursor"`
			Type    string `json:"type"`
			TokenID string `json:"token_id"`
			Status  string `json:"status"`
			By      string `json:"revoked_by"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		require.Greater(t, e.Cursor, last)
		last = e.Cursor
		if stories[e.TokenID] == nil {
			stories[e.TokenID] = &story{}
		}
		switch s := stories[e.TokenID]; e.Type {
		case "issued":
			require.Zero(t, s.issued, "issued twice: %s", e.TokenID)
			require.Zero(t, s.ended, "issued after its end: %s", e.TokenID)
			s.issued = i + 1
		case "revoked", "expired":
			require.NotZero(t, s.issued, "ended but never issued: %s", e.TokenID)
			require.Zero(t, s.ended, "ended twice: %s", e.TokenID)
			s.ended = i + 1
			resp, err := p.do(logical.ReadOperation, "tokens/"+e.TokenID, nil)
			require.NoError(t, err)
			require.Equal(t, e.Status, resp.Data["status"])
			require.Equal(t, e.By, resp.Data["revoked_by"])
		}
	}
	for id, s := range stories {
		require.Equal(t, s.issued != 0, s.ended != 0, "half a story: %s", id)
	}
}

// mortality is when a process dies.
type mortality struct {
	step  int
	after bool
	dead  chan struct{}
	over  chan struct{}

	mu    sync.Mutex
	count int
}

var errDead = errors.New("the process is dead")

func newMortality(step int, after bool) *mortality {
	return &mortality{step: step, after: after, dead: make(chan struct{}), over: make(chan struct{})}
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
