// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package providertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

// wire is the suite's place between a provider and its platform.
type wire struct {
	next    http.RoundTripper
	secrets *secrets

	mu    sync.Mutex
	count int
	// do is what happens at the request of number at and at each later one with
	// the same method and path: retrying it does not help, cleaning up does.
	do     act
	at     int
	target string
}

// act carries out a request, or does something else.
type act func(r *http.Request, next http.RoundTripper) (*http.Response, error)

// instrument wraps the settings' client and logger.
func instrument(t *testing.T, s providers.Settings, known *secrets) (providers.Settings, *wire) {
	t.Helper()
	client := http.Client{}
	if s.Client != nil {
		client = *s.Client
	} else {
		made, err := transport.New(transport.Options{Timeout: 10 * time.Second})
		require.NoError(t, err)
		client = *made
	}
	next := client.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	t.Cleanup(client.CloseIdleConnections)
	w := &wire{next: next, secrets: known}
	client.Transport = w
	s.Client = &client
	s.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: known})
	if s.Now == nil {
		s.Now = time.Now
	}
	return s, w
}

// RoundTrip counts the request and carries it out, or does what was armed.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.secrets.sent(r)
	w.mu.Lock()
	w.count++
	target := r.Method + " " + r.URL.Path
	if w.count == w.at {
		w.target = target
	}
	var do act
	if w.do != nil && (w.at == everywhere || w.target == target) {
		do = w.do
	}
	w.mu.Unlock()
	if do == nil {
		return w.next.RoundTrip(r)
	}
	return do(r, w.next)
}

// arm starts counting anew; the k-th request from here on meets it.
func (w *wire) arm(k int, do act) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count, w.at, w.do, w.target = 0, k, do, ""
}

// everywhere in place of a request's number: each one meets it.
const everywhere = -1

func (w *wire) armAll(do act) { w.arm(everywhere, do) }

func (w *wire) disarm() { w.arm(0, nil) }

// seen is the number of requests since the last arm.
func (w *wire) seen() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// CloseIdleConnections closes those of the transport below.
func (w *wire) CloseIdleConnections() {
	if c, ok := w.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// answer never asks the platform and answers in its place. It is the kind of
// answer that says too much: it repeats what the request authenticated with.
func answer(status int, header http.Header) act {
	return func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
		discard(r)
		echo := r.Header.Get("Authorization") + r.Header.Get("Private-Token")
		body := `{"message":` + strconv.Quote("no, not for "+echo) + `}`
		return respond(r, status, header, []byte(body)), nil
	}
}

// fail never asks the platform and fails as the network does.
func fail(err error) act {
	return func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
		discard(r)
		return nil, err
	}
}

// rewrite asks the platform and falsifies its answer.
func rewrite(f func(body []byte) []byte) act {
	return func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, body, err := exchange(r, next)
		if err != nil {
			return nil, err
		}
		return respond(r, resp.StatusCode, resp.Header, f(body)), nil
	}
}

// lose asks the platform and loses its answer.
func lose(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	if _, _, err := exchange(r, next); err != nil {
		return nil, err
	}
	return nil, io.ErrUnexpectedEOF
}

// cancelBefore cancels just before the request leaves.
func cancelBefore(cancel context.CancelFunc) act {
	return func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		cancel()
		if err := r.Context().Err(); err != nil {
			discard(r)
			return nil, err
		}
		return next.RoundTrip(r)
	}
}

// cancelAfter cancels when the platform has done what it was asked and before its
// answer is read: who asked with the cancelled context never sees it.
func cancelAfter(cancel context.CancelFunc) act {
	return func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, body, err := exchange(r, next)
		cancel()
		if err = errors.Join(err, r.Context().Err()); err != nil {
			return nil, err
		}
		return respond(r, resp.StatusCode, resp.Header, body), nil
	}
}

// hang lets the request wait until its context ends.
func hang(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
	discard(r)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func exchange(r *http.Request, next http.RoundTripper) (*http.Response, []byte, error) {
	resp, err := next.RoundTrip(r)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

func respond(r *http.Request, status int, header http.Header, body []byte) *http.Response {
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if !strings.Contains(header.Get("Content-Type"), "json") {
		header.Set("Content-Type", "application/json; charset=utf-8")
	}
	header.Del("Content-Length")
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Request: r,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// discard closes a request's body, as each RoundTripper must.
func discard(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}
