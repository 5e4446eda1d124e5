// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

// client talks to one server's API as its administrator.
type client struct {
	base               string
	username, password string
	http               *http.Client
}

// pathf is a path below /api/v1 with its variable parts escaped.
func pathf(format string, parts ...string) string {
	escaped := make([]any, len(parts))
	for i, part := range parts {
		escaped[i] = url.PathEscape(part)
	}
	return fmt.Sprintf(format, escaped...)
}

// request is one call of the API.
type request struct {
	method, path string
	// as is the account in whose place the administrator asks; empty for its own.
	as string
	// in and out are JSON; nil where there is none.
	in, out any
	// secret is one in the request's body, which no message may repeat.
	secret string
	// total is where the length of a whole list goes, where the answer says it.
	total *int
}

// do carries out a request. An answer of 404 that comes from the API itself is
// errNotFound, which is no fault yet: what it means is for the caller to say. A
// proxy that has lost its way answers 404 too, but not in the API's form.
func (c *client) do(ctx context.Context, r request) error {
	body, status, header, err := c.exchange(ctx, r)
	if err != nil {
		return transport.Fault("gitea", err)
	}
	if status < http.StatusOK || status >= http.StatusMultipleChoices {
		return c.fault(r, status, header, body)
	}
	if total, err := strconv.Atoi(header.Get("X-Total-Count")); err == nil && r.total != nil {
		*r.total = total
	}
	if r.out == nil {
		return nil
	}
	if err := json.Unmarshal(body, r.out); err != nil {
		return fault.New(fault.Nonsense, "gitea: the answer to %s %s is not what the API answers; is base_url a Gitea?", r.method, r.path)
	}
	return nil
}

func (c *client) exchange(ctx context.Context, r request) ([]byte, int, http.Header, error) {
	var in io.Reader = http.NoBody
	if r.in != nil {
		text, err := json.Marshal(r.in)
		if err != nil {
			return nil, 0, nil, fault.New(fault.Internal, "encoding a request: %w", err)
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+"/api/v1"+r.path, in)
	if err != nil {
		return nil, 0, nil, fault.New(fault.Internal, "making a request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	if r.in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.as != "" {
		req.Header.Set("Sudo", r.as)
	}
	req.SetBasicAuth(c.username, c.password)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return body, resp.StatusCode, resp.Header, err
}

// fault says what an answer means that is no success.
func (c *client) fault(r request, status int, header http.Header, body []byte) error {
	message, ours := c.message(body, r.secret)
	call := r.method + " " + r.path
	switch {
	case status == http.StatusNotFound && ours:
		return errNotFound
	case status == http.StatusNotFound:
		return fault.New(fault.Nonsense, "gitea: %s: status 404, but not from Gitea's API; is base_url right?", call)
	case status == http.StatusUnauthorized:
		return fault.New(fault.Unauthorized, "gitea: the server does not accept username and password (of an account without two-factor login): %s", message)
	case status == http.StatusTooManyRequests:
		if wait := retryAfter(header); wait > 0 {
			return fault.LimitedFor(wait, "gitea: the server limits us: %s", message)
		}
		return fault.LimitedSomehow("gitea: the server limits us: %s", message)
	case status >= http.StatusInternalServerError:
		e := fault.New(fault.Unavailable, "gitea: %s: status %d: %s", call, status, message)
		e.RetryAfter = retryAfter(header)
		return e
	case status >= http.StatusBadRequest:
		return fault.New(fault.Refused, "gitea: %s: status %d: %s", call, status, message)
	case strings.HasPrefix(r.path, "/repos/"):
		return fault.New(fault.Refused, "gitea: %s: the repository was renamed or moved; call it by its new name", call)
	default:
		return fault.New(fault.Nonsense, "gitea: %s: status %d leads elsewhere; is base_url the server's own address?", call, status)
	}
}

// message is what Gitea says in an answer that is no success, and whether it is
// Gitea that says it.
func (c *client) message(body []byte, secret string) (string, bool) {
	var answer struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Message == "" {
		return "no reason given", false
	}
	basic := base64.StdEncoding.EncodeToString([]byte(c.username + ":" + c.password))
	return transport.Clean(answer.Message, basic, c.password, secret), true
}

// retryAfter is the wait that an answer asks for, at least a second; zero where it
// asks for none.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(header.Get("Retry-After")))
	if err != nil || seconds < 0 {
		return 0
	}
	return max(time.Second, time.Duration(seconds)*time.Second)
}

// pageSize is the most that Gitea gives at once by default; a server may give less.
const pageSize = 50

// mostPages bounds a list: 50,000 entries are no list of one account's.
const mostPages = 1000

// each calls visit with every entry of a list until it returns false.
func each[T any](ctx context.Context, c *client, as, path string, visit func(T) bool) error {
	for seen, page := 0, 1; page <= mostPages; page++ {
		var entries []T
		total := -1
		query := "?page=" + strconv.Itoa(page) + "&limit=" + strconv.Itoa(pageSize)
		err := c.do(ctx, request{method: http.MethodGet, path: path + query, as: as, out: &entries, total: &total})
		if err != nil {
			return err
		}
		if entries == nil {
			return fault.New(fault.Nonsense, "gitea: the answer to GET %s is no list", path)
		}
		for _, entry := range entries {
			if !visit(entry) {
				return nil
			}
		}
		seen += len(entries)
		if len(entries) == 0 || seen == total {
			return nil
		}
	}
	return fault.New(fault.Nonsense, "gitea: GET %s does not end", path)
}

// unexpected makes a fault of errNotFound where there is no sense in it.
func unexpected(err error, format string, args ...any) error {
	if errors.Is(err, errNotFound) {
		return fault.New(fault.Refused, "gitea: "+format, args...)
	}
	return err
}

// errNotFound is an answer of 404 of the API's own.
var errNotFound = errors.New("gitea: not found")
