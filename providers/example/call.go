// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package example

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

// errNotFound is the platform's own 404, which to a revocation is no fault.
var errNotFound = errors.New("there is no such thing")

// call sends one request, once, and reads the answer into out; nil where none is
// wanted.
func (c *connection) call(ctx context.Context, method, path string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return fault.New(fault.Internal, "example: encode a request: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(text))
	if err != nil {
		return fault.New(fault.Internal, "example: make a request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.client.Do(request)
	if err != nil {
		return transport.Fault("example", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return transport.Fault("example", err)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return c.refusal(method+" "+path, response, body)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil || bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
		// The decoder's own words quote the answer, which may hold a token.
		return fault.New(fault.Nonsense, "example: %s: the answer is not what the API promises", method+" "+path)
	}
	return nil
}

// refusal gives an answer its kind: whose fault is it, and what can the caller do?
func (c *connection) refusal(call string, response *http.Response, body []byte) error {
	var said struct {
		Message string `json:"message"`
	}
	ours := json.Unmarshal(body, &said) == nil && said.Message != ""
	message := transport.Clean(said.Message, c.token)
	switch status := response.StatusCode; {
	case status == http.StatusUnauthorized:
		return fault.New(fault.Unauthorized, "example: the platform does not accept our token: %s", message)
	case status == http.StatusTooManyRequests:
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
			return fault.LimitedFor(time.Duration(seconds)*time.Second, "example: the platform limits us: %s", message)
		}
		return fault.LimitedSomehow("example: the platform limits us: %s", message)
	case status >= http.StatusInternalServerError:
		return fault.New(fault.Unavailable, "example: %s: status %d: %s", call, status, message)
	case !ours: // a proxy that has lost its way answers 404 too
		return fault.New(fault.Nonsense, "example: %s: status %d; is base_url right?", call, status)
	case status == http.StatusNotFound:
		return fault.New(fault.Refused, "example: %s: %s: %w", call, message, errNotFound)
	default:
		return fault.New(fault.Refused, "example: %s: status %d: %s", call, status, message)
	}
}
