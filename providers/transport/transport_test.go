// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func newClient(t *testing.T, o Options) *http.Client {
	t.Helper()
	client, err := New(o)
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// get reads an answer to its end.
func get(t *testing.T, client *http.Client, url string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestCACertIsTrustedBesideTheSystems(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshake that must fail
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))

	_, err := get(t, newClient(t, Options{CACert: ca}), server.URL)
	require.NoError(t, err)

	_, err = get(t, newClient(t, Options{}), server.URL)
	err = Fault("ci", err)
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
	require.ErrorContains(t, err, "put that authority's certificate into ca_cert")
	require.ErrorContains(t, err, server.URL)
}

func TestCACertsThatAreRefused(t *testing.T) {
	for text, says := range map[string]string{
		"/etc/ca.pem": "other than PEM",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n":         "cannot be read",
		"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n": "only certificates",
	} {
		_, err := New(Options{CACert: text})
		require.Equal(t, fault.Invalid, fault.KindOf(err), text)
		require.ErrorContains(t, err, "ca_cert: ")
		require.ErrorContains(t, err, says)
	}
	_, err := New(Options{CACert: " \n"})
	require.NoError(t, err)
}

func TestRedirects(t *testing.T) {
	var reached atomic.Bool
	other := serve(t, func(http.ResponseWriter, *http.Request) { reached.Store(true) })
	home := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL+"/?token=secret", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/moved":
			http.Redirect(w, r, "/here", http.StatusMovedPermanently)
		case "/here":
			_, _ = io.WriteString(w, "here")
		}
	})
	client := newClient(t, Options{})
	body, err := get(t, client, home.URL+"/moved")
	require.NoError(t, err)
	require.Equal(t, "here", body)

	_, err = get(t, client, home.URL+"/away")
	err = Fault("ci", err)
	require.Equal(t, fault.Nonsense, fault.KindOf(err))
	require.ErrorContains(t, err, other.URL)
	require.NotContains(t, err.Error(), "secret")
	require.False(t, reached.Load(), "followed to another host")

	_, err = get(t, client, home.URL+"/loop")
	require.Equal(t, fault.Nonsense, fault.KindOf(Fault("ci", err)))
}

func TestAnswersHaveABound(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", len(r.URL.Path)))
	})
	client := newClient(t, Options{MaxAnswerBytes: 10})
	body, err := get(t, client, server.URL+"/123456789")
	require.NoError(t, err)
	require.Len(t, body, 10)
	body, err = get(t, client, server.URL+"/1234567890")
	require.ErrorIs(t, err, ErrTooLarge)
	require.Len(t, body, 10)
	require.Equal(t, fault.Nonsense, fault.KindOf(Fault("ci", err)))
}

func TestTimeouts(t *testing.T) {
	release := make(chan struct{})
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	_, err := get(t, newClient(t, Options{Timeout: 20 * time.Millisecond}), server.URL)
	err = Fault("ci", err)
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "no answer in time")
}

// TestConnectionsAreKept: a second wave of concurrent requests dials no more.
func TestConnectionsAreKept(t *testing.T) {
	const n = idleConnections
	var dialled atomic.Int32
	var arrived sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		arrived.Wait() // all at once: each needs a connection of its own
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			dialled.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	client := newClient(t, Options{})
	for range 2 {
		arrived.Add(n)
		var done sync.WaitGroup
		for range n {
			done.Go(func() {
				resp, err := client.Get(server.URL)
				if err == nil {
					_ = resp.Body.Close()
				}
			})
		}
		done.Wait()
	}
	require.Equal(t, int32(n), dialled.Load())
}

func TestFault(t *testing.T) {
	require.NoError(t, Fault("ci", nil))
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	_, refused := get(t, newClient(t, Options{}), "http://"+closed.Addr().String()+"/path?token=secret")

	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, noTLS := get(t, newClient(t, Options{}), "https://"+plain.Listener.Addr().String())

	_, unknown := get(t, newClient(t, Options{}), "http://no-such-host.invalid/")
	for name, tc := range map[string]struct {
		err  error
		says string
	}{
		"refused":      {refused, "cannot dial: connect: connection refused"},
		"no TLS":       {noTLS, ""},
		"unknown host": {unknown, "no-such-host.invalid"},
		"broken":       {io.ErrUnexpectedEOF, "broke before the answer was complete"},
		"cancelled":    {context.Canceled, "cancelled"},
		"strange":      {errors.New("secret"), "broke"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Fault("ci", tc.err)
			require.Equal(t, fault.Unavailable, fault.KindOf(err))
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, err.Error(), "secret")
		})
	}
	require.ErrorIs(t, Fault("ci", context.Canceled), context.Canceled)
}

func TestClean(t *testing.T) {
	require.Equal(t, "no [removed] here", Clean("no\r\n\tghs_abc  here", "ghs_abc", ""))
	require.Equal(t, strings.Repeat("é", 300)+"...", Clean(strings.Repeat("é", 301)))
}

func TestParseBaseURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://ci.test":              "https://ci.test",
		" https://CI.test/ ":           "https://ci.test",
		"https://ci.test:443":          "https://ci.test",
		"https://ci.test:8443//":       "https://ci.test:8443",
		"https://ci.test/sub/path/":    "https://ci.test/sub/path",
		"http://localhost:3000":        "http://localhost:3000",
		"http://127.8.9.1:80/":         "http://127.8.9.1",
		"http://[::1]:3000/":           "http://[::1]:3000",
		"HTTPS://[2001:DB8::1]:443/x/": "https://[2001:db8::1]/x",
	} {
		got, err := ParseBaseURL("base_url", raw)
		require.NoError(t, err, raw)
		require.Equal(t, want, got)
		again, err := ParseBaseURL("base_url", got)
		require.NoError(t, err)
		require.Equal(t, got, again)
	}
	for raw, says := range map[string]string{
		"":                             "absolute",
		"ci.test":                      "absolute",
		"/api":                         "absolute",
		"https://":                     "absolute",
		"https://:8443":                "absolute",
		"mailto:ci@ci.test":            "absolute",
		"https://u:hunter2@ci.test":    "user or a password",
		"https://ci.test?x=1":          "query or a fragment",
		"https://ci.test?":             "query or a fragment",
		"https://ci.test#x":            "query or a fragment",
		"https://ci.test#":             "query or a fragment",
		"http://ci.test":               "must be https",
		"http://127.0.0.1.evil.test":   "must be https",
		"http://localhost.evil.test":   "must be https",
		"ftp://ci.test":                "must be https",
		"https://ci.test:x/hunter2":    "is not a URL",
		"https://u:hunter2@ci.test:%%": "is not a URL",
	} {
		_, err := ParseBaseURL("base_url", raw)
		require.Equal(t, fault.Invalid, fault.KindOf(err), raw)
		require.ErrorContains(t, err, "base_url: ")
		require.ErrorContains(t, err, says, raw)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
