// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// clock is a time that a test owns.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// lookups counts the requests that look for an installation of an account.
func (w *world) lookups() int {
	n := 0
	for endpoint, count := range w.Counts() {
		if strings.HasPrefix(endpoint, "GET /orgs/") || strings.HasPrefix(endpoint, "GET /users/") {
			n += count
		}
	}
	return n
}

func mustMint(t *testing.T, c *connection, g providers.Grant) *providers.Token {
	t.Helper()
	token, err := c.Mint(t.Context(), g)
	require.NoError(t, err)
	return token
}

func TestInstallationIsLookedUpOnce(t *testing.T) {
	w := newWorld(t, githubtest.Options{Latency: 20 * time.Millisecond})
	c := w.connect(t, nil)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			g := acmeGrant(t, "contents=read")
			g.Account = []string{"acme", "ACME", "Acme"}[i%3]
			_, err := c.Mint(t.Context(), g)
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	require.Equal(t, 1, w.lookups())
}

func TestInstallationLookupOutlivesWhoBeganIt(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	release := make(chan struct{})
	w.Inject(githubtest.Fault{Match: "GET /orgs/acme/installation", Times: 1, Hang: release})
	c := w.connect(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := c.Mint(ctx, acmeGrant(t, "contents=read"))
		first <- err
	}()
	require.Eventually(t, func() bool { return len(w.Requests()) == 1 }, 5*time.Second, time.Millisecond)
	cancel()
	requireFault(t, <-first, fault.Unavailable)
	close(release)
	mustMint(t, c, acmeGrant(t, "contents=read"))
	require.Equal(t, 1, w.lookups())
}

func TestInstallationSurvivesAFailingLookup(t *testing.T) {
	clock := newClock()
	w := newWorld(t, githubtest.Options{Now: clock.now})
	c := w.connect(t, clock.now)
	mustMint(t, c, acmeGrant(t, "contents=read"))
	stop := w.Inject(githubtest.Fault{Match: "GET /orgs/acme/installation", Status: http.StatusBadGateway})
	clock.advance(lookupFresh + time.Second)
	before := w.lookups()
	for range 3 {
		mustMint(t, c, acmeGrant(t, "contents=read"))
	}
	require.Equal(t, before+1, w.lookups(), "each mint pays for a lookup that fails")
	stop()
	clock.advance(lookupPause + time.Second)
	mustMint(t, c, acmeGrant(t, "contents=read"))
	require.Equal(t, before+2, w.lookups())
}

func TestInstallationThatWasMadeAnew(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	c := w.connect(t, nil)
	mustMint(t, c, acmeGrant(t, "contents=read"))
	w.Uninstall(w.in.ID)
	_, err := c.Mint(t.Context(), acmeGrant(t, "contents=read"))
	requireFault(t, err, fault.Refused, "not installed on acme")
	w.AddInstallation(githubtest.Installation{AppID: w.app.ID, Account: "acme"})
	mustMint(t, c, acmeGrant(t, "contents=read"))
}

func TestFixedInstallation(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	id := strconv.FormatInt(w.in.ID, 10)
	mustMint(t, w.connect(t, nil, fieldInstallation, id, fieldOrganization, "Acme"), acmeGrant(t, "contents=read"))
	require.Zero(t, w.lookups())

	t.Run("is not used for another account", func(t *testing.T) {
		w.AddRepositories("globex", "web", "api")
		in := w.AddInstallation(githubtest.Installation{AppID: w.app.ID, Account: "globex"})
		g := acmeGrant(t, "contents=read")
		g.Account = "globex"
		mustMint(t, w.connect(t, nil, fieldInstallation, id, fieldOrganization, "acme"), g)
		require.Equal(t, 1, w.lookups())

		live := w.Live()
		_, err := w.connect(t, nil, fieldInstallation, strconv.FormatInt(in.ID, 10)).Mint(t.Context(), acmeGrant(t, "contents=read"))
		requireFault(t, err, fault.Refused, "on another account than acme")
		require.Equal(t, live, w.Live(), "a token for another account is left behind")
	})
	t.Run("gone", func(t *testing.T) {
		w.Uninstall(w.in.ID)
		_, err := w.connect(t, nil, fieldInstallation, id).Mint(t.Context(), acmeGrant(t, "contents=read"))
		requireFault(t, err, fault.Refused, "no installation "+id)
	})
}

func TestRefusalsSayWhatIsMissing(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	c := w.connect(t, nil)
	mint := func(g providers.Grant) error {
		_, err := c.Mint(t.Context(), g)
		return err
	}
	t.Run("permissions that nobody asked for", func(t *testing.T) {
		err := mint(acmeGrant(t, "contents=read", "packages=write", "issues=read"))
		requireFault(t, err, fault.Refused, "packages=write (has read), issues=read", "must ask for it", "an owner of acme", "settings/installations/")
		require.NotContains(t, err.Error(), "contents")
	})
	t.Run("permissions that wait for an owner", func(t *testing.T) {
		w.SetPermissions(w.in.ID, map[string]string{"contents": "read"})
		defer w.SetPermissions(w.in.ID, appPermissions)
		requireFault(t, mint(acmeGrant(t, "contents=write")), fault.Refused, "contents=write (has read)", "asks for it already")
	})
	t.Run("repositories", func(t *testing.T) {
		g := acmeGrant(t, "contents=read")
		g.Repositories = []string{"web", "hidden", "nowhere"}
		err := mint(g)
		requireFault(t, err, fault.Refused, "acme/hidden, acme/nowhere", "selects it at")
		require.NotContains(t, err.Error(), "acme/web")
	})
	t.Run("suspended", func(t *testing.T) {
		w.Suspend(w.in.ID)
		defer w.Unsuspend(w.in.ID)
		requireFault(t, mint(acmeGrant(t, "contents=read")), fault.Refused, "acme is suspended")
	})
	t.Run("when GitHub cannot be asked what", func(t *testing.T) {
		defer w.Inject(githubtest.Fault{Match: "GET /app/installations/*", Status: http.StatusBadGateway})()
		requireFault(t, mint(acmeGrant(t, "issues=read")), fault.Refused, "422")
	})
	require.Zero(t, w.Live())
}

func TestOneLimitedInstallationDoesNotStopAnother(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	c := w.connect(t, nil)
	w.AddRepositories("globex", "web", "api")
	w.AddInstallation(githubtest.Installation{AppID: w.app.ID, Account: "globex"})
	limit := githubtest.PrimaryLimit(http.StatusForbidden, time.Now().Add(time.Hour))
	limit.Match, limit.Times = "POST /app/installations/*/access_tokens", 1
	w.Inject(limit)
	_, err := c.Mint(t.Context(), acmeGrant(t, "contents=read"))
	requireFault(t, err, fault.Limited)
	require.Greater(t, fault.RetryAfter(err), 59*time.Minute)
	g := acmeGrant(t, "contents=read")
	g.Account = "globex"
	mustMint(t, c, g)
}

func TestMintRefusesWhatGitHubWouldWiden(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	c := w.connect(t, nil)
	for name, change := range map[string]func(*providers.Grant){
		"a pattern":           func(g *providers.Grant) { g.Repositories = []string{"web*"} },
		"owner/name":          func(g *providers.Grant) { g.Repositories = []string{"acme/web"} },
		"the folder above":    func(g *providers.Grant) { g.Repositories = []string{".."} },
		"more than 500":       func(g *providers.Grant) { g.Repositories = slices.Repeat([]string{"web"}, 501) },
		"an account's path":   func(g *providers.Grant) { g.Account = "acme/../globex" },
		"a level that is not": func(g *providers.Grant) { g.Permissions = permissions(t, "workflows=read") },
	} {
		t.Run(name, func(t *testing.T) {
			g := acmeGrant(t, "contents=read")
			change(&g)
			_, err := c.Mint(t.Context(), g)
			requireFault(t, err, fault.Invalid)
		})
	}
	require.Empty(t, w.Requests())
}

func TestHalfAnAnswerLeavesNoToken(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	c := w.connect(t, nil)
	half := &rewriting{next: c.client.http.Transport, method: http.MethodPost, rewrite: func(b []byte) []byte { return b[:len(b)/2] }}
	c.client.http.Transport = half
	_, err := c.Mint(t.Context(), acmeGrant(t, "contents=read"))
	requireFault(t, err, fault.Nonsense)
	require.Len(t, w.Tokens(), 1)
	require.Zero(t, w.Live())
}

func TestLongTokens(t *testing.T) {
	w := newWorld(t, githubtest.Options{LongTokens: true, Validate: true})
	c := w.connect(t, nil)
	token := mustMint(t, c, acmeGrant(t, "contents=read"))
	require.Greater(t, len(token.Secret), 300)
	require.NoError(t, c.Revoke(t.Context(), providers.Handle{Value: token.Handle, MintedAt: time.Now()}))
	require.Zero(t, w.Live())
}
