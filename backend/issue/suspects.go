// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package issue

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/connect"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
)

// settle is how long a platform may take to carry out a request whose caller is
// gone: a place is looked at at once, and again after that time.
const settle = time.Minute

// lost keeps where there may be tokens that the ledger does not know.
type lost struct {
	mu sync.Mutex
	// made are the tokens that are being made this moment, by id, with where they
	// will be.
	made     map[string]target
	searches map[target]*search
	// failing are the sites that could not be looked at, told once.
	failing map[site]bool
	begun   bool
}

// site is a platform as one config reaches it.
type site struct{ config, endpoint string }

// target is a place at a site; the place without a name is all of them.
type target struct {
	site
	place string
}

type search struct {
	since  time.Time
	looked bool
}

func newLost() *lost {
	return &lost{made: map[string]target{}, searches: map[target]*search{}, failing: map[site]bool{}}
}

func siteOf(link *connect.Link) site { return site{link.Name, link.Connection.BaseURL()} }

// begin notes that a token is about to be made, where tokens can be found by name.
func (l *lost) begin(link *connect.Link, grant providers.Grant) {
	finder, finds := link.Connection.(providers.Finder)
	if !finds {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made[grant.TokenID] = target{siteOf(link), finder.Place(grant)}
}

// end notes that a token is on record, or known to be dead.
func (l *lost) end(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.made, id)
}

// missing notes that nobody knows what came of a token.
func (l *lost) missing(id string, now time.Time) {
	l.mu.Lock()
	t, known := l.made[id]
	delete(l.made, id)
	l.mu.Unlock()
	if known {
		l.suspect(t, now)
	}
}

func (l *lost) making(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, known := l.made[id]
	return known
}

func (l *lost) suspect(t target, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.searches[t] = &search{since: now}
}

// suspectAlso has a place looked at for as long as the whole is.
func (l *lost) suspectAlso(whole target, place string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of, found := l.searches[whole], target{whole.site, place}
	if l.searches[found] == nil && of != nil {
		l.searches[found] = &search{since: of.since}
	}
}

// due are the places to look at now, by site.
func (l *lost) due(now time.Time) map[site][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	due := map[site][]string{}
	for t, s := range l.searches {
		if !s.looked || now.Sub(s.since) >= settle {
			due[t.site] = append(due[t.site], t.place)
		}
	}
	return due
}

// looked notes that a place was looked at; suspicion that came meanwhile stays.
func (l *lost) looked(t target, began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.searches[t]
	switch {
	case s == nil || s.since.After(began):
	case began.Sub(s.since) >= settle:
		delete(l.searches, t)
	default:
		s.looked = true
	}
}

// drop gives up a site that nobody can look at any more.
func (l *lost) drop(at site) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for t := range l.searches {
		if t.site == at {
			delete(l.searches, t)
		}
	}
}

// tell logs that a site cannot be looked at, and that it can again.
func (l *lost) tell(at site, err error, logger hclog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if was := l.failing[at]; err != nil && !was {
		logger.Warn("tokens that may have been lost cannot be looked for; trying on", "config", at.config, "base_url", at.endpoint, "error", err)
	}
	if l.failing[at] = err != nil; err == nil {
		delete(l.failing, at)
	}
}

func (l *lost) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = true
}

func (l *lost) started() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begun
}
