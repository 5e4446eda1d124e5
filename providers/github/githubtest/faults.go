// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is what goes wrong with a request. A delay or a hang alone lets the
// request go on afterwards.
type Fault struct {
	// Match is "METHOD PATH" in the syntax of path.Match, below the path prefix:
	// "POST /app/installations/*/access_tokens". Empty matches every request.
	Match string
	// Times is how many requests it happens to; 0 is every one until it is cleared.
	Times int
	// After lets GitHub do what was asked first, so that only the answer fails.
	// git requests fail before in any case.
	After bool
	// Delay holds the request for so long, in real time.
	Delay time.Duration
	// Hang holds the request until the channel is closed, the client is gone or the
	// Simulator closes.
	Hang <-chan struct{}
	// Reset closes the connection without an answer.
	Reset bool
	// Status, Header and Body are the answer; nothing is answered when Status is 0.
	Status int
	Header http.Header
	Body   string
	// Excess makes a mint grant more than it was asked for.
	Excess *Excess
}

// Excess is what a mint grants beyond what it was asked for.
type Excess struct {
	// Permissions are added, or raised.
	Permissions map[string]string
	// Repositories are names on the same account, in the installation or not.
	Repositories []string
	// AllRepositories grants every one, and says so: repository_selection is all.
	AllRepositories bool
}

// Inject makes a fault happen from now on; the first one that matches does. Call
// the returned function to stop it.
func (s *Simulator) Inject(f Fault) (stop func()) { return s.faults.add(f) }

// ClearFaults stops every injected fault. Requests that hang go on hanging.
func (s *Simulator) ClearFaults() { s.faults.clear() }

const (
	msgPrimary   = "API rate limit exceeded for installation."
	msgSecondary = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
)

// PrimaryLimit is the answer of an exhausted primary rate limit. GitHub sends it
// with status 403 or 429.
func PrimaryLimit(status int, reset time.Time) Fault {
	header := http.Header{}
	header.Set("x-ratelimit-limit", strconv.Itoa(shownLimit))
	header.Set("x-ratelimit-used", strconv.Itoa(shownLimit))
	header.Set("x-ratelimit-remaining", "0")
	header.Set("x-ratelimit-reset", strconv.FormatInt(reset.Unix(), 10))
	return Fault{Status: status, Header: header, Body: string(refuse(status, msgPrimary).body)}
}

// SecondaryLimit is the answer of the secondary rate limit, with status 403 or
// 429. It says how many seconds to wait, unless that is 0.
func SecondaryLimit(status, retryAfter int) Fault {
	header := http.Header{}
	if retryAfter > 0 {
		header.Set("retry-after", strconv.Itoa(retryAfter))
	}
	return Fault{Status: status, Header: header, Body: string(refuse(status, msgSecondary).body)}
}

// BadGateway is the page in HTML that GitHub's front shows when what is behind it
// does not answer.
func BadGateway() Fault {
	return Fault{
		Status: http.StatusBadGateway, Header: http.Header{"Content-Type": {"text/html"}},
		Body: "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>",
	}
}

// Malformed does what was asked and answers with the start of a JSON object.
func Malformed() Fault {
	return Fault{After: true, Status: http.StatusCreated, Body: `{"expires_at": "2`}
}

// DropAnswer does what was asked and closes the connection without an answer.
func DropAnswer() Fault { return Fault{After: true, Reset: true} }

// faults are those injected and not yet used up.
type faults struct {
	mu   sync.Mutex
	list []*Fault
}

func (fs *faults) add(f Fault) (stop func()) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = append(fs.list, &f)
	return func() {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		fs.remove(&f)
	}
}

func (fs *faults) clear() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = nil
}

// remove takes a fault out of the list; fs.mu is held.
func (fs *faults) remove(f *Fault) {
	for i, other := range fs.list {
		if other == f {
			fs.list = append(fs.list[:i], fs.list[i+1:]...)
			return
		}
	}
}

// take returns what happens to a request; nothing is the zero Fault.
func (fs *faults) take(method, requestPath string) Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.list {
		if !f.matches(method + " " + requestPath) {
			continue
		}
		taken := *f
		if f.Times == 1 {
			fs.remove(f)
		} else if f.Times > 1 {
			f.Times--
		}
		return taken
	}
	return Fault{}
}

func (f *Fault) matches(request string) bool {
	if f.Match == "" {
		return true
	}
	ok, err := path.Match(f.Match, request)
	return ok && err == nil
}

// inflict makes the fault happen. It says whether the request has been dealt with,
// and with what status (0: none).
func (s *Simulator) inflict(w http.ResponseWriter, r *http.Request, f Fault) (dealt bool, status int) {
	if !s.hold(r, f) {
		panic(http.ErrAbortHandler)
	}
	switch {
	case f.Reset:
		reset(w)
		return true, 0
	case f.Status != 0:
		for name, values := range f.Header {
			w.Header()[http.CanonicalHeaderKey(name)] = values
		}
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(f.Status)
		_, _ = strings.NewReader(f.Body).WriteTo(w)
		return true, f.Status
	}
	return false, 0
}

// hold waits as the fault says; false when client or Simulator went away meanwhile.
func (s *Simulator) hold(r *http.Request, f Fault) bool {
	if !s.pause(r, f.Delay) {
		return false
	}
	if f.Hang == nil {
		return true
	}
	select {
	case <-f.Hang:
		return true
	case <-r.Context().Done():
	case <-s.closing:
	}
	return false
}

func (s *Simulator) pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-s.closing:
	}
	return false
}
