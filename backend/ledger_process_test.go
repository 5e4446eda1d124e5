// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// process is an engine with its own view of storage.
type process struct {
	*Backend
	storage logical.Storage
	now     func() time.Time
}

func (g *fragile) process(t *testing.T, storage logical.Storage) *process {
	t.Helper()
	engine, err := New(t.Context(), &logical.BackendConfig{
		StorageView: storage, Logger: hclog.NewNullLogger(), BackendUUID: "5e1f-mount",
		System: &logical.StaticSystemView{DefaultLeaseTTLVal: time.Hour, MaxLeaseTTLVal: 24 * time.Hour},
	}, g.clock.now)
	require.NoError(t, err)
	t.Cleanup(func() { engine.Cleanup(context.WithoutCancel(t.Context())) })
	return &process{engine, storage, g.clock.now}
}

func (p *process) do(op logical.Operation, path string, body map[string]any) (*logical.Response, error) {
	return p.HandleRequest(context.Background(), &logical.Request{
		Operation: op, Path: path, Data: body, Storage: p.storage, DisplayName: "token-job",
	})
}

func (p *process) must(t *testing.T, path string, body map[string]any) *logical.Response {
	t.Helper()
	resp, err := p.do(logical.UpdateOperation, path, body)
	require.NoError(t, err)
	require.False(t, resp.IsError(), "%s: %v", path, resp)
	return resp
}

func (p *process) listed(t *testing.T) []string {
	t.Helper()
	resp, err := p.do(logical.ListOperation, "tokens", nil)
	require.NoError(t, err)
	keys, _ := resp.Data["keys"].([]string)
	return keys
}

// requireStories holds the log against itself and the records.
func (p *process) requireStories(t *testing.T) {
	t.Helper()
	type story struct{ issued, ended int }
	stories, last := map[string]*story{}, ""
	for i, line := range p.must(t, "events", map[string]any{"limit": 1000}).Data["events"].([]string) {
		var e struct {
			Cursor  string `json:"cursor"`
			Type    string `json:"type"`
			TokenID string `json:"token_id"`
			Status  string `json:"status"`
			By      string `json:"revoked_by"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		require.Greater(t, e.Cursor, last)
		last = e.Cursor
		if stories[e.TokenID] == nil {
			stories[e.TokenID] = &story{}
		}
		switch s := stories[e.TokenID]; e.Type {
		case "issued":
			require.Zero(t, s.issued, "issued twice: %s", e.TokenID)
			require.Zero(t, s.ended, "issued after its end: %s", e.TokenID)
			s.issued = i + 1
		case "revoked", "expired":
			require.NotZero(t, s.issued, "ended but never issued: %s", e.TokenID)
			require.Zero(t, s.ended, "ended twice: %s", e.TokenID)
			s.ended = i + 1
			resp, err := p.do(logical.ReadOperation, "tokens/"+e.TokenID, nil)
			require.NoError(t, err)
			require.Equal(t, e.Status, resp.Data["status"])
			require.Equal(t, e.By, resp.Data["revoked_by"])
		}
	}
	for id, s := range stories {
		require.Equal(t, s.issued != 0, s.ended != 0, "half a story: %s", id)
	}
}
