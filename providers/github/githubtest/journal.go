// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// journalLength is how many requests are remembered at least.
const journalLength = 10_000

// Request is what a Simulator tells of a request that it saw. Whatever looks like
// a token or a JWT is replaced by [redacted].
type Request struct {
	// Time is of the clock in Options.Now.
	Time   time.Time `json:"time"`
	Method string    `json:"method"`
	// Path is below the path prefix.
	Path  string `json:"path"`
	Query string `json:"query,omitempty"`
	// Endpoint is the method and the path with names in the place of values, as in
	// Counts.
	Endpoint string      `json:"endpoint"`
	Header   http.Header `json:"header"`
	Body     string      `json:"body,omitempty"`
	// Status is 0 while there is no answer, and where none was given.
	Status int `json:"status"`
}

// journal is what was seen.
type journal struct {
	mu      sync.Mutex
	list    []*Request
	counts  map[string]int
	running int
	most    int
}

func newJournal() *journal { return &journal{counts: map[string]int{}} }

// open notes that a request has come in, and says how many are in now.
func (j *journal) open(r *Request) (running int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.list) >= 2*journalLength {
		j.list = append([]*Request(nil), j.list[journalLength:]...)
	}
	j.list = append(j.list, r)
	j.counts[r.Endpoint]++
	j.running++
	j.most = max(j.most, j.running)
	return j.running
}

// close notes that a request has been answered, or not.
func (j *journal) close(r *Request, status int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r.Status = status
	j.running--
}

// Requests are those seen, oldest first: all of them, or at least the last 10,000.
func (s *Simulator) Requests() []Request {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	list := make([]Request, len(s.journal.list))
	for i, r := range s.journal.list {
		list[i] = *r
	}
	return list
}

// Counts are how many requests came to each endpoint, such as
// "POST /app/installations/{installation_id}/access_tokens".
func (s *Simulator) Counts() map[string]int {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return maps.Clone(s.journal.counts)
}

// MaxConcurrent is the most requests that were ever under way at once.
func (s *Simulator) MaxConcurrent() int {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return s.journal.most
}

// ClearRequests forgets the requests, their counts and the most at once.
func (s *Simulator) ClearRequests() {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	s.journal.list, s.journal.counts, s.journal.most = nil, map[string]int{}, s.journal.running
}

var secret = regexp.MustCompile(`(gh[a-z]_|eyJ)[A-Za-z0-9._-]+`)

func redact(text string) string {
	if !strings.Contains(text, "gh") && !strings.Contains(text, "eyJ") {
		return text
	}
	return secret.ReplaceAllString(text, "[redacted]")
}

func redactHeader(header http.Header) http.Header {
	header = header.Clone()
	if scheme, _, ok := strings.Cut(header.Get("Authorization"), " "); ok {
		header.Set("Authorization", scheme+" [redacted]")
	} else {
		header.Del("Authorization")
	}
	return header
}
