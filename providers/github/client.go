// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	gh "github.com/google/go-github/v60/github"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

const userAgent = "vault-plugin-secrets-ci"

// client sends requests to one GitHub.
type client struct {
	http *http.Client
	base *url.URL
	now  func() time.Time
}

// call is one request. The path is relative to the API's, its parts escaped.
type call struct {
	method string
	path   string
	body   any
	// bearer is the secret that the request authenticates with.
	bearer string
}

// send carries out a call and lets read have the body of a good answer; a nil read
// means that only 204 is good. It returns a fault, or a *statusError where GitHub
// understood and said no: what that means depends on what was asked.
func (c *client) send(ctx context.Context, do call, read func(io.Reader) error) error {
	// A go-github client remembers the limits that it met and then refuses, in its
	// own name, whatever else is asked through it: another installation, a token
	// that must be revoked. So each request has one of its own, over the same
	// connections; it is a struct.
	github := gh.NewClient(c.http)
	github.BaseURL, github.UserAgent = c.base, userAgent
	r, err := github.NewRequest(do.method, do.path, do.body)
	if err != nil {
		return fault.New(fault.Internal, "github: make a request: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+do.bearer)
	resp, err := github.BareDo(ctx, r)
	if resp == nil || resp.Response == nil {
		return transport.Fault("github", err)
	}
	defer drain(resp.Body)
	switch {
	case err != nil:
		return c.refusal(resp.Response, do.bearer)
	case read == nil && resp.StatusCode != http.StatusNoContent:
		return fault.New(fault.Nonsense, "github: %s where there should be nothing", resp.Status)
	case read == nil:
		return nil
	}
	return readAnswer(resp.Body, read)
}

// readAnswer tells an answer that broke off from one that makes no sense.
func readAnswer(body io.Reader, read func(io.Reader) error) error {
	watched := &watchedReader{r: body}
	err := read(watched)
	switch {
	case err == nil:
		return nil
	case watched.err != nil:
		return transport.Fault("github", watched.err)
	default:
		return fault.New(fault.Nonsense, "github: the answer makes no sense: %w", err)
	}
}

// watchedReader remembers how reading failed.
type watchedReader struct {
	r   io.Reader
	err error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// drain reads what is left, so that the connection can be used again, unless that
// is much.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close()
}

// decodeInto reads a small JSON answer. The decoder's own errors may repeat parts
// of it and are not passed on.
func decodeInto(into any) func(io.Reader) error {
	return func(r io.Reader) error {
		if err := json.NewDecoder(r).Decode(into); err != nil {
			return errors.New("it is not the JSON that was expected")
		}
		return nil
	}
}

// statusError is a no of GitHub's. No fault has one as its cause: whoever turns it
// into a fault has understood it.
type statusError struct {
	status  int
	message string
	// clockAhead is how far our clock is ahead of GitHub's; zero where unknown.
	clockAhead time.Duration
}

func (e *statusError) Error() string {
	if e.message == "" {
		return fmt.Sprintf("%d %s", e.status, http.StatusText(e.status))
	}
	return fmt.Sprintf("%d %s", e.status, e.message)
}

// statusOf is the status of GitHub's no, or zero.
func statusOf(err error) int {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.status
	}
	return 0
}

// refusal makes an error of an answer that is none of 2xx.
func (c *client) refusal(resp *http.Response, bearer string) error {
	var body struct {
		Message string `json:"message"`
		Docs    string `json:"documentation_url"`
		Errors  []any  `json:"errors"`
	}
	// What is not JSON, such as a proxy's page, leaves the message empty.
	_ = json.NewDecoder(resp.Body).Decode(&body)
	refused := &statusError{status: resp.StatusCode, message: transport.Clean(body.Message, bearer), clockAhead: c.clockAhead(resp)}
	for _, detail := range body.Errors {
		if text := detailText(detail); text != "" && !strings.Contains(body.Message, text) {
			refused.message += "; " + transport.Clean(text, bearer)
		}
	}
	if limited(resp, body.Message, body.Docs) {
		return c.limitFault(resp, refused)
	}
	switch {
	case resp.StatusCode >= 500:
		return unavailable(resp, refused)
	case resp.StatusCode == http.StatusRequestTimeout:
		return unavailable(resp, refused)
	case resp.StatusCode < 400:
		return fault.New(fault.Nonsense, "github: %s where there should be an answer; is base_url right?", refused)
	}
	return refused
}

// detailText is what an entry of GitHub's errors says: a string, or an object with
// a message.
func detailText(detail any) string {
	switch d := detail.(type) {
	case string:
		return d
	case map[string]any:
		text, _ := d["message"].(string)
		return text
	}
	return ""
}

func unavailable(resp *http.Response, refused *statusError) error {
	err := fault.New(fault.Unavailable, "github: does not answer: %s", refused)
	err.RetryAfter, _ = retryAfter(resp)
	return err
}

// clockAhead compares our clock with the answer's date, which is exact to a second
// or two.
func (c *client) clockAhead(resp *http.Response) time.Duration {
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0
	}
	return c.now().Sub(date).Round(time.Second)
}
