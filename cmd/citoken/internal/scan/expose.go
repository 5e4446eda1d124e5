// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package scan

import (
	"context"
	"fmt"

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
// the scan was made. What is not of the form of our tokens is shown to nobody.
func Expose(ctx context.Context, client *api.Client, mount, prefix string, findings []Finding) error {
	verdicts := map[string]*Verdict{}
	for i := range findings {
		f := &findings[i]
		if !f.Platform {
			continue
		}
		for _, candidate := range candidates(f.secret) {
			verdict := verdicts[candidate]
			if verdict == nil {
				var err error
				if verdict, err = expose(ctx, client, mount, candidate, prefix+f.Where()); err != nil {
					return fmt.Errorf("report what was found at %s: %w", f.Where(), err)
				}
				verdicts[candidate] = verdict
			}
			f.Verdict = verdict
			if verdict.Ours {
				break
			}
		}
	}
	return nil
}

func expose(ctx context.Context, client *api.Client, mount, token, where string) (*Verdict, error) {
	answer, err := client.Logical().WriteWithContext(ctx, mount+"/exposed", map[string]any{"token": token, "where": where})
	if err != nil {
		return nil, brief.Error(err)
	}
	if answer == nil {
		return nil, fmt.Errorf("nothing is at %s/exposed", mount)
	}
	text := func(field string) string {
		value, _ := answer.Data[field].(string)
		return value
	}
	v := &Verdict{TokenID: text("token_id"), Status: text("status"), Role: text("role"), Owner: text("owner")}
	v.Ours, _ = answer.Data["ours"].(bool)
	v.WasLive, _ = answer.Data["was_live"].(bool)
	return v, nil
}
