// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package scan

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/hashicorp/vault/api"

	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/brief"
)

// Verdict is what the engine says of a token that was shown to it.
type Verdict struct {
	// Ours says that the engine has issued it, WasLive that it could still be used
	// until it was reported.
	Ours, WasLive                bool
	TokenID, Status, Role, Owner string
}

// Expose reports each finding that may be ours: if it is, it dies. prefix says where
// the scan was made. What is not of the form of our tokens is shown to nobody. The
// error joins the failures of all reports.
func Expose(ctx context.Context, client *api.Client, mount, prefix string, findings []Finding) error {
	var failures []error
	known := map[string]answer{}
	for i := range findings {
		f := &findings[i]
		if !f.Platform {
			continue
		}
		err := f.report(known, func(token string) (*Verdict, error) {
			return expose(ctx, client, mount, token, prefix+f.Where())
		})
		if err == nil {
			continue
		}
		failures = append(failures, fmt.Errorf("report what was found at %s: %w", f.Where(), err))
		if !ofOne(err) {
			break
		}
	}
	return errors.Join(failures...)
}

// answer is what came of showing a token to the engine.
type answer struct {
	verdict *Verdict
	err     error
}

// report shows what the finding may be of a token, until one is ours.
func (f *Finding) report(known map[string]answer, show func(token string) (*Verdict, error)) error {
	for _, candidate := range candidates(f.secret) {
		got, asked := known[candidate]
		if !asked {
			got.verdict, got.err = show(candidate)
			known[candidate] = got
		}
		if got.err != nil {
			f.Reported = ofOne(got.err)
			return got.err
		}
		f.Reported, f.Verdict = true, got.verdict
		if got.verdict.Ours {
			break
		}
	}
	return nil
}

// ofOne tells whether a failure says nothing about the next report. The engine fails
// so where the token is ours and its platform does not answer: its end is queued.
func ofOne(err error) bool {
	var failure *api.ResponseError
	return errors.As(err, &failure) && (failure.StatusCode == http.StatusTooManyRequests || failure.StatusCode >= http.StatusInternalServerError)
}

func expose(ctx context.Context, client *api.Client, mount, token, where string) (*Verdict, error) {
	told, err := client.Logical().WriteWithContext(ctx, mount+"/exposed", map[string]any{"token": token, "where": where})
	if err != nil {
		return nil, brief.Error(err)
	}
	if told == nil {
		return nil, fmt.Errorf("nothing is at %s/exposed", mount)
	}
	text := func(field string) string {
		value, _ := told.Data[field].(string)
		return value
	}
	v := &Verdict{TokenID: text("token_id"), Status: text("status"), Role: text("role"), Owner: text("owner")}
	v.Ours, _ = told.Data["ours"].(bool)
	v.WasLive, _ = told.Data["was_live"].(bool)
	return v, nil
}
