// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// The process dies at each of its steps towards storage and towards the platform,
// before the step and after it. Vault forgets its leases meanwhile. Whatever the
// step, the next process leaves no token live and tells each story once, whole and
// in order.
func TestLedgerCrashAtEachStep(t *testing.T) {
	steps := livesAndDeaths(t, death{})
	require.Greater(t, steps, 15, "the life of tokens has become too short to prove anything")
	t.Logf("%d steps", steps)
	t.Run("once", func(t *testing.T) {
		for step := 1; step <= steps; step++ {
			for _, after := range []bool{false, true} {
				at := death{step, after}
				t.Run(at.String(), func(t *testing.T) { t.Parallel(); livesAndDeaths(t, at) })
			}
		}
	})
	t.Run("and again while the next process takes over", func(t *testing.T) {
		for step := 1; step <= steps; step += 2 {
			for again := 1; again <= 4; again++ {
				first, second := death{step, true}, death{again, again%2 == 0}
				t.Run(first.String()+", then "+second.String(), func(t *testing.T) { t.Parallel(); livesAndDeaths(t, first, second) })
			}
		}
	})
}

// death is the step at which a process dies; 0 is never.
type death struct {
	step  int
	after bool
}

func (d death) String() string {
	if d.after {
		return fmt.Sprintf("after step %d", d.step)
	}
	return fmt.Sprintf("before step %d", d.step)
}

// livesAndDeaths lets processes live some tokens' lives, each until its death, and a
// last one clear up. It returns the steps that the first one made.
func livesAndDeaths(t *testing.T, deaths ...death) (steps int) {
	g := newFragile(t, newClock())
	kept := &logical.InmemStorage{}
	g.setUp(t, kept)
	for i, at := range deaths {
		life := newMortality(at)
		g.mortal(life)
		p := g.process(t, &mortalStorage{Storage: kept, life: life})
		t.Cleanup(life.end) // before the process is cleaned up, which would wait for its dead self
		p.worker.start()
		lived := make(chan struct{})
		go func() {
			defer close(lived)
			p.live()
		}()
		select {
		case <-lived:
		case <-life.dead:
		case <-time.After(time.Minute):
			t.Fatal("a process neither lived its life nor died")
		}
		if i == 0 {
			steps = life.made()
		}
		life.kill()
	}
	g.mortal(nil)
	g.clock.advance(10 * time.Minute) // past every lease
	last := g.process(t, kept)
	last.worker.start()
	require.Eventually(t, func() bool {
		// A request that a dead process has sent may still be carried out: time goes on.
		g.clock.advance(time.Second)
		last.engine.Issue.RevokeLost(t.Context())
		return len(g.Live()) == 0 && len(last.listed(t)) == 0
	}, time.Minute, 20*time.Millisecond, "tokens are left")
	last.requireStories(t)
	return steps
}

// setUp writes what a mount needs, as a process that nothing befalls.
func (g *fragile) setUp(t *testing.T, storage logical.Storage) {
	t.Helper()
	p := g.process(t, storage)
	p.must(t, "config/gitlab", map[string]any{
		"provider": "gitlab", "base_url": g.server.URL, "token": g.own, "request_timeout": 300,
	})
	p.must(t, "environments/dev", map[string]any{"description": "where it may break"})
	for _, role := range []string{"one", "other"} {
		p.must(t, "roles/"+role, map[string]any{
			"config": "gitlab", "stage": "release", "environment": "dev", "owner": "team-web", "purpose": "release the site",
			"repositories": []string{"acme/web"}, "permissions": []string{"repository=write"}, "ttl": 300,
		})
	}
}

// live is what happens to tokens in the life of a process. Failures are the lot of
// one that dies.
func (p *process) live() {
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
