// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/redact"
)

// handle makes a Vault handler of one of ours: unknown fields are errors, and a
// fault becomes the status that the contract gives it.
func handle(f framework.OperationFunc) framework.OperationFunc {
	return func(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
		if err := known(req, d); err != nil {
			return answer(err)
		}
		resp, err := f(ctx, req, d)
		if err != nil {
			return answer(err)
		}
		return resp, nil
	}
}

// known refuses what the path has no field for: Vault itself would only warn, and a
// misspelt limit would be no limit.
func known(req *logical.Request, d *framework.FieldData) error {
	var unknown []string
	for name := range req.Data {
		if d.Schema[name] == nil {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fault.InvalidField(unknown[0], "is not a field of this path; allowed: %s", strings.Join(slices.Sorted(maps.Keys(d.Schema)), ", "))
}

// statuses is where a fault becomes a status. Invalid and Refused answer as a
// response, which Vault makes a 400 and the audit device hashes: they may quote
// what the caller wrote. The others are coded errors, in clear in the audit file.
var statuses = map[fault.Kind]int{
	fault.Denied: http.StatusForbidden, fault.NotFound: http.StatusNotFound, fault.Conflict: http.StatusConflict,
	fault.Unauthorized: http.StatusBadGateway, fault.Nonsense: http.StatusBadGateway,
	fault.Limited: http.StatusTooManyRequests, fault.Unavailable: http.StatusServiceUnavailable,
	fault.Unproven: http.StatusServiceUnavailable,
}

func answer(err error) (*logical.Response, error) {
	kind := fault.KindOf(err)
	// The last look at what leaves us, whoever said it.
	message := redact.Error(err.Error())
	switch kind {
	case fault.Invalid, fault.Refused:
		return logical.ErrorResponse(message), nil
	case fault.Internal:
		if errors.Is(err, logical.ErrReadOnly) {
			// Vault forwards the request to a node that can write.
			return nil, logical.ErrReadOnly
		}
		return nil, errors.New(message)
	}
	if wait := fault.RetryAfter(err); kind == fault.Limited && wait > 0 && !strings.Contains(message, wait.Round(time.Second).String()) {
		message += " (wait " + wait.Round(time.Second).String() + ")"
	}
	return nil, logical.CodedError(statuses[kind], message)
}

// callerOf is who asks.
func callerOf(req *logical.Request) policy.Caller {
	caller := policy.Caller{RequestID: req.ID, EntityID: req.EntityID, DisplayName: req.DisplayName, Mount: req.MountPoint}
	if req.Connection != nil {
		caller.Address = req.Connection.RemoteAddr
	}
	return caller
}

// operation is a handler with what OpenAPI shows of it. All are forwarded to the
// node that can write: also a read makes a credential or a place in the log.
func operation(summary string, f framework.OperationFunc, status int, fields map[string]*framework.FieldSchema) *framework.PathOperation {
	return &framework.PathOperation{
		Callback: handle(f), Summary: summary,
		ForwardPerformanceStandby: true, ForwardPerformanceSecondary: true,
		Responses: map[int][]framework.Response{status: {{Description: http.StatusText(status), Fields: fields}}},
	}
}

// display names a path's operations in generated clients.
func display(suffix string) *framework.DisplayAttributes {
	return &framework.DisplayAttributes{OperationPrefix: "ci", OperationSuffix: suffix}
}

// join puts field sets together.
func join(sets ...map[string]*framework.FieldSchema) map[string]*framework.FieldSchema {
	all := map[string]*framework.FieldSchema{}
	for _, set := range sets {
		maps.Copy(all, set)
	}
	return all
}
