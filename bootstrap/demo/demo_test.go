// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world/worldtest"
)

// The demonstration runs to its end on each platform, and shows a token that works
// and then is dead.
func TestDemo(t *testing.T) {
	worldtest.BuildPlugin(t)
	for name, where := range platforms() {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), budget)
			defer cancel()
			var out bytes.Buffer
			d := &demo{platform: where, out: &out, started: time.Now()}
			err := d.run(ctx)
			require.NoError(t, d.close())
			require.NoError(t, err, out.String())
			require.Contains(t, out.String(), "the token is dead at the platform")
			require.Contains(t, out.String(), "revoked  role")
			if name != "github" {
				require.Contains(t, out.String(), "pushed a commit")
			}
		})
	}
}

func TestUnknownPlatform(t *testing.T) {
	require.ErrorContains(t, run(t.Context(), []string{"-platform", "sourceforge"}), "gitea, github, gitlab")
}
