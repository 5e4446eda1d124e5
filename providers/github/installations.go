// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

const (
	// lookupFresh is how long a found installation is not looked up again. An id
	// stays the same as long as the App is installed; an account's name may go to
	// somebody else.
	lookupFresh = 10 * time.Minute
	// lookupPause is how long after a failed refresh the old answer serves.
	lookupPause = time.Minute
	// lookupTimeout bounds a lookup that nobody waits for any more.
	lookupTimeout = 30 * time.Second
)

// installation is what GitHub says of an App's installation on an account.
type installation struct {
	ID      int64 `json:"id"`
	Account struct {
		Login string `json:"login"`
	} `json:"account"`
	// HTMLURL is where an owner of the account changes it.
	HTMLURL     string            `json:"html_url"`
	Permissions map[string]string `json:"permissions"`
	SuspendedAt *time.Time        `json:"suspended_at"`
}

// settings says where an owner changes the installation.
func (in *installation) settings() string {
	u, err := url.Parse(in.HTMLURL)
	if err != nil || u.Host == "" || u.User != nil {
		return "the account's settings, under GitHub Apps"
	}
	return transport.Clean(in.HTMLURL)
}

func (in *installation) suspended() error {
	return fault.New(fault.Refused, "github: the App's installation on %s is suspended: an owner lifts that at %s", in.Account.Login, in.settings())
}

// installations finds the installation of each account and remembers it. Many
// callers share one lookup, and it goes on when the one who began it goes away.
type installations struct {
	find   func(ctx context.Context, account string) (int64, error)
	now    func() time.Time
	flight singleflight.Group

	mu    sync.Mutex
	known map[string]found
}

type found struct {
	id int64
	// until is when it is looked up again.
	until time.Time
}

func newInstallations(find func(context.Context, string) (int64, error), now func() time.Time) *installations {
	return &installations{find: find, now: now, known: map[string]found{}}
}

// id gives the installation's id on an account. Where GitHub cannot be asked, one
// that was found before serves on: minting may well work.
func (i *installations) id(ctx context.Context, account string) (int64, error) {
	key := strings.ToLower(account)
	if in, ok := i.cached(key); ok && i.now().Before(in.until) {
		return in.id, nil
	}
	flight := i.flight.DoChan(key, func() (any, error) {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		return i.refresh(detached, key, account)
	})
	select {
	case r := <-flight:
		if r.Err != nil {
			return 0, r.Err
		}
		return r.Val.(int64), nil
	case <-ctx.Done():
		return 0, transport.Fault("github", ctx.Err())
	}
}

func (i *installations) refresh(ctx context.Context, key, account string) (int64, error) {
	id, err := i.find(ctx, account)
	i.mu.Lock()
	defer i.mu.Unlock()
	if err == nil {
		i.known[key] = found{id: id, until: i.now().Add(lookupFresh)}
		return id, nil
	}
	old, ok := i.known[key]
	if !ok || fault.Is(err, fault.Refused) {
		delete(i.known, key)
		return 0, err
	}
	i.known[key] = found{id: old.id, until: i.now().Add(lookupPause)}
	return old.id, nil
}

func (i *installations) cached(key string) (found, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	in, ok := i.known[key]
	return in, ok
}

// forget drops an id that turned out to be wrong, unless a newer one has taken its
// place.
func (i *installations) forget(account string, id int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if key := strings.ToLower(account); i.known[key].id == id {
		delete(i.known, key)
	}
}

// findInstallation asks GitHub for the App's installation on an account, which may
// be an organization or a user.
func (c *connection) findInstallation(ctx context.Context, account string) (int64, error) {
	var in installation
	err := c.get(ctx, "orgs/"+url.PathEscape(account)+"/installation", &in)
	if isAbsent(err) {
		err = c.get(ctx, "users/"+url.PathEscape(account)+"/installation", &in)
	}
	switch {
	case isAbsent(err):
		return 0, c.notInstalled(account)
	case err != nil:
		return 0, c.asFault("find the installation on "+account, err)
	case in.ID <= 0:
		return 0, fault.New(fault.Nonsense, "github: the answer describes no installation")
	}
	return in.ID, nil
}

// isAbsent reports whether GitHub says that there is no such thing; that there is
// no such App is another matter.
func isAbsent(err error) bool {
	return statusOf(err) == http.StatusNotFound && !strings.Contains(err.Error(), "Integration")
}

func (c *connection) notInstalled(account string) error {
	return fault.New(fault.Refused, "github: the App (%s %s) is not installed on %s: an owner of %s installs it from the App's page",
		fieldAppID, c.appID, account, account)
}

func (c *connection) installationByID(ctx context.Context, id string) (*installation, error) {
	var in installation
	if err := c.get(ctx, "app/installations/"+id, &in); err != nil {
		return nil, err
	}
	if in.ID <= 0 {
		return nil, fault.New(fault.Nonsense, "github: the answer describes no installation")
	}
	return &in, nil
}

// fixed is the installation that the config names for an account; zero where it
// names none. A config without an organization means its installation for all.
func (c *connection) fixed(account string) int64 {
	if c.installation == "" || c.organization != "" && !strings.EqualFold(account, c.organization) {
		return 0
	}
	id, err := strconv.ParseInt(c.installation, 10, 64)
	if err != nil {
		return 0
	}
	return id
}
