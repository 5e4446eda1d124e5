// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"fmt"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// The hot path without Vault around it: storage is memory, and the platform is the
// simulator in this process, whose work is in the figures.

// eventsAtOnce is how many events share a page of the log under load.
const eventsAtOnce = 256

func BenchmarkIssue(b *testing.B) {
	for _, repositories := range []int{1, 50} {
		b.Run(fmt.Sprintf("%d repositories", repositories), func(b *testing.B) {
			m := newMount(b)
			m.wide(repositories)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.mint()
				m.flushNow(i)
			}
		})
	}
}

func BenchmarkRevokeLease(b *testing.B) {
	m := newMount(b)
	m.wide(1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		secret := m.mint().Secret
		m.flushNow(i)
		b.StartTimer()
		_, err := m.HandleRequest(b.Context(), &logical.Request{Operation: logical.RevokeOperation, Storage: m.storage, Secret: secret})
		require.NoError(b, err)
	}
}

// wide writes a role of that name for so many repositories.
func (m *mount) wide(repositories int) {
	names := make([]string, repositories)
	for i := range names {
		names[i] = fmt.Sprintf("wide-%d", i)
	}
	m.github.AddRepositories("acme", names...)
	m.github.SelectRepositories(m.inst.ID, names...)
	m.role("wide", map[string]any{"repositories": names})
}

func (m *mount) mint() *logical.Response {
	resp, err := m.HandleRequest(m.t.Context(), &logical.Request{
		ID: "f3c1-request", Operation: logical.ReadOperation, Path: "creds/wide", Storage: m.storage, DisplayName: "token-ci",
	})
	require.NoError(m.t, err)
	require.False(m.t, resp.IsError(), resp)
	return resp
}

func (m *mount) flushNow(i int) {
	if i%eventsAtOnce == 0 {
		require.NoError(m.t, m.engine.Ledger.Flush(m.t.Context()))
	}
}
