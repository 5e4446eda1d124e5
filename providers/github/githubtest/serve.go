// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-uuid"
)

const (
	contentType = "application/json; charset=utf-8"
	maxBody     = 1 << 20
	docs        = "https://docs.github.com/rest"

	msgNotFound      = "Not Found"
	msgCredentials   = "Bad credentials"
	msgRequiresLogin = "Requires authentication"
	msgForbidden     = "Resource not accessible by integration"
	msgUserAgent     = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header."
)

// call is one request to the API on its way.
type call struct {
	r     *http.Request
	route *route
	body  []byte
	// app is who asks, on routes for Apps.
	app *App
	// token and secret are what asks, on routes for tokens.
	token  *token
	excess *Excess
	header http.Header
}

// answer is what GitHub says; body is JSON, or nil for none.
type answer struct {
	status int
	body   []byte
}

func refuse(status int, message string) *answer {
	return &answer{status: status, body: mustJSON(object{
		"message": message, "documentation_url": docs, "status": strconv.Itoa(status),
	})}
}

func notFound() *answer { return refuse(http.StatusNotFound, msgNotFound) }

func respond(status int, body any) *answer { return &answer{status: status, body: mustJSON(body)} }

// ServeHTTP serves the API, git, and where it is wanted /_simulator/.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.running.Done()
	if s.control != nil && strings.HasPrefix(r.URL.Path, "/_simulator/") {
		s.control.ServeHTTP(w, r)
		return
	}
	if isGit(r.URL.Path) {
		s.serveGit(w, r)
		return
	}
	if s.options.PathPrefix != "" && !strings.HasPrefix(r.URL.Path, s.options.PathPrefix+"/") {
		http.NotFound(w, r)
		return
	}
	http.StripPrefix(s.options.PathPrefix, s.api).ServeHTTP(w, r)
}

// note opens the journal for a request; the caller closes it.
func (s *Simulator) note(r *http.Request, endpoint string, body []byte) (entry *Request, running int) {
	entry = &Request{
		Time: s.now(), Method: r.Method, Path: redact(r.URL.Path), Query: redact(r.URL.RawQuery),
		Endpoint: endpoint, Header: redactHeader(r.Header), Body: redact(string(body)),
	}
	return entry, s.journal.open(entry)
}

// serveAPI takes one request through everything that can happen to it.
func (s *Simulator) serveAPI(w http.ResponseWriter, r *http.Request, route *route) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler) // the client went away in the middle
	}
	entry, running := s.note(r, route.endpoint, body)
	status := 0
	defer func() { s.journal.close(entry, status) }()

	if !s.pause(r, time.Duration(s.latency.Load())) {
		panic(http.ErrAbortHandler)
	}
	f := s.faults.take(r.Method, r.URL.Path)
	s.commonHeader(w.Header())
	if !f.After {
		if dealt, given := s.inflict(w, r, f); dealt {
			status = given
			return
		}
	}
	c := &call{r: r, route: route, body: body, excess: f.Excess, header: w.Header()}
	a := s.answer(c, running)
	if s.describe != nil {
		s.describe.check(c, a)
	}
	if f.After {
		if dealt, given := s.inflict(w, r, f); dealt {
			status = given
			return
		}
	}
	status = a.status
	a.write(w)
}

// answer authenticates, limits and does what is asked.
func (s *Simulator) answer(c *call, running int) *answer {
	if s.options.MaxConcurrent > 0 && running > s.options.MaxConcurrent {
		c.header.Set("Retry-After", "60")
		return refuse(http.StatusForbidden, msgSecondary)
	}
	if c.r.UserAgent() == "" {
		return refuse(http.StatusForbidden, msgUserAgent)
	}
	identity, refusal := s.authenticate(c)
	if limited := s.limits.count(identity, s.now(), c.header); limited != nil {
		return limited
	}
	if refusal != nil {
		return refusal
	}
	return c.route.handle(c)
}

// authenticate finds out who asks, and under which name their requests are counted.
func (s *Simulator) authenticate(c *call) (identity string, refusal *answer) {
	switch c.route.auth {
	case byApp:
		if c.app, refusal = s.authenticateApp(c.r); refusal == nil {
			return "App " + strconv.FormatInt(c.app.ID, 10), nil
		}
	case byToken:
		if c.token, refusal = s.authenticateToken(c.r); refusal == nil {
			return "installation ID " + strconv.FormatInt(c.token.installation.ID, 10), nil
		}
	}
	host, _, _ := net.SplitHostPort(c.r.RemoteAddr)
	return host, refusal
}

func (s *Simulator) commonHeader(header http.Header) {
	id, _ := uuid.GenerateUUID() // fails only without randomness
	header.Set("Content-Type", contentType)
	header.Set("Date", s.now().UTC().Format(http.TimeFormat))
	header.Set("X-Github-Request-Id", strings.ToUpper(id))
	header.Set("X-Github-Media-Type", "github.v3; format=json")
	header.Set("Cache-Control", "no-store")
}

func (a *answer) write(w http.ResponseWriter) {
	if a.body == nil {
		w.Header().Del("Content-Type")
	} else {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// reset ends the connection so that the client sees it reset, or over HTTP/2 its
// stream.
func reset(w http.ResponseWriter) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // RST instead of FIN
	}
	_ = conn.Close()
}
