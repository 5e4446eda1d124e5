// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// A mint that is under way will need the config, whatever has become of its role.
func TestAConfigIsNotDeletedUnderAMint(t *testing.T) {
	m := newMount(t)
	finish := m.mintInFlight("build-dev")
	remove := func(path string) answer { return m.do(logical.DeleteOperation, path, nil) }
	require.Empty(t, remove("roles/build-dev").err)
	require.Equal(t, http.StatusConflict, remove("config/github").status)
	minted := finish()
	require.Empty(t, minted.err)
	require.Equal(t, http.StatusConflict, remove("config/github").status)
	m.clock.advance(time.Minute)
	require.Empty(t, m.revoke(minted).err)
	require.Equal(t, githubtest.Revoked, m.state(minted))
	require.Empty(t, remove("config/github").err)
}

// The config moves to another address while its credential is being replaced at the
// first one. What lives there is revoked with the new one.
func TestARotationIsKeptForTheAddressThatItWasMadeAt(t *testing.T) {
	for name, restart := range map[string]bool{"in the same process": false, "after a crash": true} {
		t.Run(name, func(t *testing.T) {
			m := newMount(t)
			left := m.addGitLab()
			got := m.issue("pull")
			next := gitlabtest.New(m.clock.now)
			server := httptest.NewServer(next)
			t.Cleanup(server.Close)
			t.Cleanup(next.Close)
			user := next.AddUser("vault")
			next.SetMember(user, "acme", gitlabtest.Maintainer)
			next.AddProject("acme/web")
			token := next.AddPersonalToken(user, "vault", []string{"api"}, time.Time{})

			var puts atomic.Int32
			var moved atomic.Bool
			m.storage.watch(func(op, key string) error {
				switch {
				case op == "put" && key == "rotation/gitlab" && puts.Add(1) == 2:
					m.must("config/gitlab", map[string]any{"provider": "gitlab", "base_url": server.URL, "token": token})
					moved.Store(true)
				case op == "put" && restart && moved.Load() && strings.HasPrefix(key, "retired/"):
					return errStorage // it does not come to adopt what it has
				}
				return nil
			}, nil)
			m.write("rotate-root/gitlab", nil)
			m.storage.watch(nil, nil)
			if restart {
				m.start()
			}
			require.NoError(t, m.engine.Connections.ResumeRotations(t.Context()))
			require.Empty(t, m.storage.keys("rotation/"))
			require.Empty(t, m.revoke(got).err)
			require.Empty(t, left.Live())
		})
	}
}
