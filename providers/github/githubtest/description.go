// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// descriptionJSON is the part of GitHub's REST description that Operations need.
// scripts/github-openapi.sh writes it.
//
//go:embed openapi.json
var descriptionJSON []byte

// document loads the description once in a process; nobody changes it after.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(descriptionJSON)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
})

// description holds requests and answers against GitHub's REST description.
type description struct {
	doc        *openapi3.T
	mu         sync.Mutex
	violations []string
}

func loadDescription() (*description, error) {
	doc, err := document()
	if err != nil {
		return nil, err
	}
	return &description{doc: doc}, nil
}

// Violations are the requests and answers that did not fit GitHub's REST
// description since they were last asked for; none without Options.Validate.
func (s *Simulator) Violations() []string {
	if s.describe == nil {
		return nil
	}
	s.describe.mu.Lock()
	defer s.describe.mu.Unlock()
	list := s.describe.violations
	s.describe.violations = nil
	return list
}

// check validates one exchange. What the description does not know of (an
// operation, or a status such as 429) it cannot judge.
func (d *description) check(c *call, a *answer) {
	method, path, ok := strings.Cut(c.route.endpoint, " ")
	if !ok {
		return
	}
	item := d.doc.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		d.add("%s: not described", c.route.endpoint)
		return
	}
	request := c.r.Clone(c.r.Context())
	request.Body = io.NopCloser(bytes.NewReader(c.body))
	input := &openapi3filter.RequestValidationInput{
		Request: request, PathParams: map[string]string{}, QueryParams: request.URL.Query(),
		Route:   &routers.Route{Spec: d.doc, Path: path, PathItem: item, Method: method, Operation: item.GetOperation(method)},
		Options: &openapi3filter.Options{SkipSettingDefaults: true},
	}
	input.Options.WithCustomSchemaErrorFunc(func(err *openapi3.SchemaError) string {
		return "/" + strings.Join(err.JSONPointer(), "/") + ": " + err.Reason // without schema and value: they fill pages
	})
	for _, name := range c.route.params {
		input.PathParams[name] = c.r.PathValue(name)
	}
	if err := openapi3filter.ValidateRequest(request.Context(), input); err != nil {
		d.add("%s: request: %v", c.route.endpoint, err)
	}
	d.checkAnswer(input, c.route.endpoint, c.header, a)
}

func (d *description) checkAnswer(input *openapi3filter.RequestValidationInput, endpoint string, header http.Header, a *answer) {
	response := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: a.status, Header: header, Options: input.Options,
	}
	response.SetBodyBytes(a.body)
	if err := openapi3filter.ValidateResponse(input.Request.Context(), response); err != nil {
		d.add("%s: answer %d: %v", endpoint, a.status, err)
	}
}

func (d *description) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.violations = append(d.violations, redact(fmt.Sprintf(format, args...)))
}
