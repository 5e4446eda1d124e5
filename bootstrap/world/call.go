// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Caller makes API requests with one token. It neither retries nor turns a
// status into an error: what Vault said is what a test looks at. It may be used
// by many goroutines.
type Caller struct {
	token   string
	http    *http.Client
	address func() string
}

// As is a caller with the token, to the first node that runs; a standby
// forwards.
func (v *Vault) As(token string) *Caller {
	return &Caller{token: token, http: v.http, address: func() string { return v.running().Address }}
}

// Root is a caller with the root token.
func (v *Vault) Root() *Caller { return v.As(v.RootToken()) }

// As is a caller with the token, to this node alone.
func (n *Node) As(token string) *Caller {
	return &Caller{token: token, http: n.vault.http, address: func() string { return n.Address }}
}

// Request is one API request.
type Request struct {
	// Method; LIST too.
	Method string
	// Path below /v1/, with its query if there is one.
	Path string
	// Body is encoded as JSON; nil sends none. A []byte goes as it is.
	Body any
	// Header holds what is to be sent besides the token, such as
	// X-Vault-Wrap-TTL.
	Header http.Header
}

// Answer is what Vault answered.
type Answer struct {
	Status int
	Header http.Header
	// Body as it came.
	Body []byte
	// Raw is the whole body decoded, nil where it is not a JSON object.
	Raw map[string]any

	RequestID     string
	LeaseID       string
	LeaseDuration time.Duration
	Renewable     bool
	Data          map[string]any
	Auth          map[string]any
	WrapInfo      map[string]any
	Warnings      []string
	Errors        []string
}

// Failure is nil for a status below 400, else an error that holds what Vault
// said.
func (a Answer) Failure() error {
	if a.Status < http.StatusBadRequest {
		return nil
	}
	if len(a.Errors) == 0 {
		return fmt.Errorf("status %d", a.Status)
	}
	return fmt.Errorf("status %d: %s", a.Status, strings.Join(a.Errors, "; "))
}

// Do makes the request. An error means that there was no answer.
func (c *Caller) Do(ctx context.Context, request Request) (Answer, error) {
	sent, err := c.build(ctx, request)
	if err != nil {
		return Answer{}, fmt.Errorf("%s %s: %w", request.Method, request.Path, err)
	}
	got, err := c.http.Do(sent)
	if err != nil {
		return Answer{}, fmt.Errorf("%s %s: %w", request.Method, request.Path, err)
	}
	body, err := io.ReadAll(got.Body)
	if err := errors.Join(err, got.Body.Close()); err != nil {
		return Answer{}, fmt.Errorf("%s %s: %w", request.Method, request.Path, err)
	}
	return decode(got.StatusCode, got.Header, body), nil
}

func (c *Caller) build(ctx context.Context, request Request) (*http.Request, error) {
	var body io.Reader
	switch given := request.Body.(type) {
	case nil:
	case []byte:
		body = bytes.NewReader(given)
	default:
		encoded, err := json.Marshal(given)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(encoded)
	}
	url := c.address() + "/v1/" + strings.TrimPrefix(request.Path, "/")
	built, err := http.NewRequestWithContext(ctx, request.Method, url, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		built.Header.Set("Content-Type", "application/json")
	}
	for name, values := range request.Header {
		built.Header[name] = values
	}
	if c.token != "" {
		built.Header.Set("X-Vault-Token", c.token)
	}
	built.Header.Set("X-Vault-Request", "true")
	return built, nil
}

func decode(status int, header http.Header, body []byte) Answer {
	answer := Answer{Status: status, Header: header, Body: body}
	var envelope struct {
		RequestID     string         `json:"request_id"`
		LeaseID       string         `json:"lease_id"`
		LeaseDuration int            `json:"lease_duration"`
		Renewable     bool           `json:"renewable"`
		Data          map[string]any `json:"data"`
		Auth          map[string]any `json:"auth"`
		WrapInfo      map[string]any `json:"wrap_info"`
		Warnings      []string       `json:"warnings"`
		Errors        []string       `json:"errors"`
	}
	// Not every body is an envelope: metrics are text, and some of sys/ have a
	// form of their own. Those are in Body and Raw.
	if json.Unmarshal(body, &answer.Raw) != nil || json.Unmarshal(body, &envelope) != nil {
		return answer
	}
	answer.RequestID, answer.LeaseID = envelope.RequestID, envelope.LeaseID
	answer.LeaseDuration = time.Duration(envelope.LeaseDuration) * time.Second
	answer.Renewable = envelope.Renewable
	answer.Data, answer.Auth, answer.WrapInfo = envelope.Data, envelope.Auth, envelope.WrapInfo
	answer.Warnings, answer.Errors = envelope.Warnings, envelope.Errors
	return answer
}

// Read makes a GET.
func (c *Caller) Read(ctx context.Context, path string) (Answer, error) {
	return c.Do(ctx, Request{Method: http.MethodGet, Path: path})
}

// List makes a LIST.
func (c *Caller) List(ctx context.Context, path string) (Answer, error) {
	return c.Do(ctx, Request{Method: "LIST", Path: path})
}

// Write makes a PUT, as the CLI does.
func (c *Caller) Write(ctx context.Context, path string, body map[string]any) (Answer, error) {
	return c.Do(ctx, Request{Method: http.MethodPut, Path: path, Body: body})
}

// Patch makes a PATCH with a JSON merge patch.
func (c *Caller) Patch(ctx context.Context, path string, body map[string]any) (Answer, error) {
	header := http.Header{"Content-Type": {"application/merge-patch+json"}}
	return c.Do(ctx, Request{Method: http.MethodPatch, Path: path, Body: body, Header: header})
}

// Delete makes a DELETE.
func (c *Caller) Delete(ctx context.Context, path string) (Answer, error) {
	return c.Do(ctx, Request{Method: http.MethodDelete, Path: path})
}
