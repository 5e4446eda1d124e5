// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world/worldtest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// lab is a Vault with the engine at ci/ and a GitLab behind it, a platform that can
// find tokens by name. Its tokens live until midnight unless somebody kills them.
type lab struct {
	*worldtest.Vault
	gitlab *trapped
	root   *worldtest.Caller
}

const shortTTL = 5 * time.Second

func newLab(t *testing.T, options world.Options) *lab {
	t.Helper()
	l := &lab{gitlab: newTrapped(t)}
	l.Vault = worldtest.StartVault(t, options)
	l.Mount("ci/", l.Register(worldtest.BuildPlugin(t)), api.MountConfigInput{AuditNonHMACResponseKeys: world.AuditKeys()})
	l.root = l.Root()
	l.root.Must("ci/config/gitlab", map[string]any{"provider": "gitlab", "base_url": l.gitlab.url, "token": l.gitlab.own})
	l.root.Must("ci/environments/dev", map[string]any{"description": "where it may break"})
	l.role("short", int(shortTTL.Seconds()))
	l.role("long", 3600)
	return l
}

// role writes a role whose tokens are project access tokens.
func (l *lab) role(name string, ttl int) {
	l.root.Must("ci/roles/"+name, map[string]any{
		"config": "gitlab", "stage": "release", "environment": "dev", "owner": "team-web", "purpose": "release the site",
		"repositories": []string{"acme/web"}, "permissions": []string{"repository=write"}, "ttl": ttl,
	})
}

// load lets jobs come and go until stop is called: each reads a credential of role
// short, and half of them revoke its lease.
func (l *lab) load(t *testing.T, jobs int) (stop func()) {
	var all sync.WaitGroup
	stopped := make(chan struct{})
	for range jobs {
		all.Go(func() {
			for {
				select {
				case <-stopped:
					return
				case <-time.After(20 * time.Millisecond):
				}
				answer, err := l.root.Caller.Read(t.Context(), "ci/creds/short")
				if err == nil && answer.Status == http.StatusOK && rand.IntN(2) == 0 {
					_, _ = l.root.Caller.Write(t.Context(), "sys/leases/revoke", map[string]any{"lease_id": answer.LeaseID, "sync": true})
				}
			}
		})
	}
	return func() { close(stopped); all.Wait() }
}

// agrees reports whether ledger and platform have the same live tokens.
func (l *lab) agrees(t *testing.T) bool {
	t.Helper()
	known, answered := listed(t, l.root)
	slices.Sort(known)
	return answered && slices.Equal(known, l.gitlab.live())
}

// trapped is a GitLab in which single requests can be held.
type trapped struct {
	*gitlabtest.Instance
	url, own string
	ended    chan struct{}

	mu    sync.Mutex
	traps []*trap
}

// trap holds the first request that it fits until whoever asks is gone.
type trap struct {
	method, path string
	// after does what was asked first.
	after bool
	hit   chan struct{}
}

func newTrapped(t *testing.T) *trapped {
	g := &trapped{Instance: gitlabtest.New(time.Now), ended: make(chan struct{})}
	server := httptest.NewServer(g)
	g.url = server.URL
	t.Cleanup(server.Close)
	t.Cleanup(g.Instance.Close)
	t.Cleanup(func() { close(g.ended) })
	user := g.AddUser("vault")
	g.SetMember(user, "acme", gitlabtest.Maintainer)
	g.AddProject("acme/web")
	g.own = g.AddPersonalToken(user, "vault", []string{"api"}, time.Now().AddDate(0, 0, 30))
	return g
}

// hold arms a trap; its channel is closed when a request is in it.
func (g *trapped) hold(method, path string, after bool) (hit <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	armed := &trap{method: method, path: path, after: after, hit: make(chan struct{})}
	g.traps = append(g.traps, armed)
	return armed.hit
}

func (g *trapped) take(r *http.Request) *trap {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, armed := range g.traps {
		if armed.method == r.Method && strings.Contains(r.URL.Path, armed.path) {
			g.traps = slices.Delete(g.traps, i, i+1)
			return armed
		}
	}
	return nil
}

func (g *trapped) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	armed := g.take(r)
	if armed == nil {
		g.Instance.ServeHTTP(w, r)
		return
	}
	if armed.after {
		g.Instance.ServeHTTP(httptest.NewRecorder(), r)
	}
	close(armed.hit)
	select {
	case <-r.Context().Done():
	case <-g.ended:
	}
	panic(http.ErrAbortHandler)
}

// live are the ids of the live tokens, which their names begin with.
func (g *trapped) live() (ids []string) {
	for _, name := range g.Live() {
		id, _, _ := strings.Cut(name, ".")
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
