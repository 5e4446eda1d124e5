// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package githubtest simulates the part of GitHub's REST API that GitHub App
// installation tokens live in, and git over HTTPS beside it, strictly: it checks
// what GitHub checks and refuses what GitHub refuses, in GitHub's words where
// they are known. With Options.Validate, every request and every answer is also
// held against GitHub's own REST description.
//
// A Simulator is made with New or Start, filled with AddApp, AddRepositories and
// AddInstallation (or Install, which does all three), made to fail with Inject,
// and asked afterwards what it saw: Tokens, Requests, Counts, Violations. Nothing
// that it reports holds a token, a JWT or a key.
package githubtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what a Simulator is made with. The zero value is api.github.com on
// a free loopback port.
type Options struct {
	// Address to listen on; 127.0.0.1:0 when empty.
	Address string
	// TLS serves HTTPS with a certificate of a CA made for this Simulator.
	TLS bool
	// PathPrefix is where the API is: empty as on api.github.com, "/api/v3" as on
	// GitHub Enterprise Server. git is at the root in both.
	PathPrefix string
	// Now is the clock that JWTs, tokens and limits are judged by; time.Now when nil.
	Now func() time.Time
	// LongTokens makes tokens of about 520 characters, ghs_APPID_JWT, instead of 40.
	LongTokens bool
	// ReplicationDelay is how long a fresh token is not yet known to the servers
	// that it is shown to, by the clock in Now.
	ReplicationDelay time.Duration
	// ReplicationStatus is their answer meanwhile: 401 (the default) or 403.
	ReplicationStatus int
	// Latency is added to every answer, in real time.
	Latency time.Duration
	// HourlyLimit is the primary rate limit of one identity; 0 never limits.
	HourlyLimit int
	// MaxConcurrent is how many requests at once are let in before the secondary
	// rate limit answers; 0 never limits.
	MaxConcurrent int
	// Validate holds every request and answer against GitHub's REST description.
	Validate bool
	// Control serves /_simulator/ for programs that are not this one.
	Control bool
}

// Simulator is a GitHub of its own. It is safe for any number of goroutines.
type Simulator struct {
	options Options
	now     func() time.Time
	latency atomic.Int64
	base    string
	ca      []byte
	dir     string

	world    *world
	tokens   *tokens
	faults   *faults
	journal  *journal
	limits   *limits
	signed   signed
	describe *description
	api      *http.ServeMux
	control  http.Handler
	git      *gitHost

	server  *http.Server
	closing chan struct{}
	gate    sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// TB is the part of testing.TB that Start needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// Start is New for tests: it fails the test where New fails, closes the Simulator
// when the test ends, and then fails the test for each violation of GitHub's
// description that nobody has collected with Violations.
func Start(t TB, options Options) *Simulator {
	t.Helper()
	s, err := New(options)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("%v", err)
		}
		for _, v := range s.Violations() {
			t.Errorf("GitHub's REST description: %s", v)
		}
	})
	return s
}

// New makes a Simulator that is already listening. It has no Apps and no accounts.
func New(options Options) (*Simulator, error) {
	s := &Simulator{options: options, now: options.Now, closing: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	if s.options.ReplicationStatus == 0 {
		s.options.ReplicationStatus = http.StatusUnauthorized
	}
	s.latency.Store(int64(options.Latency))
	s.world, s.tokens, s.faults = newWorld(), newTokens(), &faults{}
	s.journal, s.limits = newJournal(), newLimits(options.HourlyLimit)
	if options.Validate {
		d, err := loadDescription()
		if err != nil {
			return nil, fmt.Errorf("githubtest: description: %w", err)
		}
		s.describe = d
	}
	s.api = s.routes()
	if options.Control {
		s.control = s.controlHandler()
	}
	if err := s.listen(); err != nil {
		return nil, fmt.Errorf("githubtest: listen: %w", err)
	}
	return s, nil
}

func (s *Simulator) listen() error {
	address := s.options.Address
	if address == "" {
		address = "127.0.0.1:0"
	}
	dir, err := os.MkdirTemp("", "githubtest-")
	if err != nil {
		return err
	}
	s.dir, s.git = dir, &gitHost{root: dir, now: s.now}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	s.base = "http://" + listener.Addr().String()
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	serve := s.server.Serve
	if s.options.TLS {
		certificate, ca, err := newCertificate(listener.Addr())
		if err != nil {
			return errors.Join(err, listener.Close(), os.RemoveAll(dir))
		}
		s.base, s.ca = "https://"+listener.Addr().String(), ca
		s.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		serve = func(l net.Listener) error { return s.server.ServeTLS(l, "", "") }
	}
	s.running.Go(func() { _ = serve(listener) }) // ends with ErrServerClosed, by Close
	return nil
}

// URL is the base address of the API, without a last slash.
func (s *Simulator) URL() string { return s.base + s.options.PathPrefix }

// CAPEM is the certificate of the CA to trust; nil without Options.TLS.
func (s *Simulator) CAPEM() []byte { return s.ca }

// GitURL is where a repository is cloned from.
func (s *Simulator) GitURL(account, repository string) string {
	return s.base + "/" + account + "/" + repository + ".git"
}

// SetLatency replaces Options.Latency.
func (s *Simulator) SetLatency(d time.Duration) { s.latency.Store(int64(d)) }

// Close ends every request, hung ones too, and waits until nothing of the
// Simulator is left: no goroutine, no process, no port, no file.
func (s *Simulator) Close() error {
	s.gate.Lock()
	if s.closed {
		s.gate.Unlock()
		return nil
	}
	s.closed = true
	close(s.closing)
	s.gate.Unlock()
	err := s.server.Close()
	s.running.Wait()
	return errors.Join(err, os.RemoveAll(s.dir))
}

// enter counts a request in, unless the Simulator is closing.
func (s *Simulator) enter() bool {
	s.gate.Lock()
	defer s.gate.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	return true
}
