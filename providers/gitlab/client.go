// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

const (
	apiPath = "/api/v4"
	// perPage is the most that GitLab gives at once.
	perPage = 100
	// maxPages bounds a listing: a project with more live tokens is not believed.
	maxPages = 100
)

// request is one call of the API.
type request struct {
	method string
	// path is below /api/v4, its parts escaped already.
	path  string
	query url.Values
	// as is the token to authenticate with; empty for the connection's.
	as string
	in any
	// want is the status of success.
	want int
}

// call sends one request, once, and reads the answer into out (nil: no body is
// wanted). It returns the header of a success.
func (c *connection) call(ctx context.Context, r request, out any) (http.Header, error) {
	req, err := c.build(ctx, r)
	if err != nil {
		return nil, err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, transport.Fault("gitlab: "+r.method+" "+r.path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, transport.Fault("gitlab: "+r.method+" "+r.path, err)
	}
	if resp.StatusCode != r.want {
		return nil, c.refusal(r, resp, body)
	}
	if out == nil {
		return resp.Header, nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		// The decoder's own words quote the answer, which may hold a token.
		return nil, fault.New(fault.Nonsense, "gitlab: %s %s: the answer is not what the API promises", r.method, r.path)
	}
	return resp.Header, nil
}

func (c *connection) build(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader
	if r.in != nil {
		encoded, err := json.Marshal(r.in)
		if err != nil {
			return nil, fmt.Errorf("gitlab: encode %s: %w", r.path, err)
		}
		body = bytes.NewReader(encoded)
	}
	address := c.base + apiPath + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, fmt.Errorf("gitlab: build %s: %w", r.path, err)
	}
	req.Header.Set("Accept", "application/json")
	if r.in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	as := r.as
	if as == "" {
		as = c.token
	}
	req.Header.Set("PRIVATE-TOKEN", as)
	return req, nil
}

// list reads every page of a listing.
func list[T any](ctx context.Context, c *connection, path string, query url.Values) ([]T, error) {
	query.Set("per_page", strconv.Itoa(perPage))
	var all []T
	for page := 1; page <= maxPages; page++ {
		query.Set("page", strconv.Itoa(page))
		var some []T
		header, err := c.call(ctx, request{method: http.MethodGet, path: path, query: query, want: http.StatusOK}, &some)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if header.Get("X-Next-Page") == "" && len(some) < perPage {
			return all, nil
		}
	}
	return nil, fault.New(fault.Nonsense, "gitlab: GET %s: more than %d pages", path, maxPages)
}

func projectPath(project int64, rest string) string {
	return "/projects/" + strconv.FormatInt(project, 10) + rest
}

func tokenPath(kind string, project, token int64) string {
	return projectPath(project, collection(kind)+"/"+strconv.FormatInt(token, 10))
}

func collection(kind string) string {
	if kind == deployToken {
		return "/deploy_tokens"
	}
	return "/access_tokens"
}
