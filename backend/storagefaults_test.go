// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// eachFault runs a scenario with its first storage operation failing, then its
// second, until one runs through without having met its fault. The scenario starts
// from an engine that has nothing in memory, calls act once, and is told which
// operation failed.
func eachFault(t *testing.T, m *mount, scenario func(act func(func() answer) (got answer, failed string))) {
	t.Helper()
	faults := 0
	for n := 1; ; n++ {
		require.Less(t, n, 100, "an operation that never ends")
		var hit string
		m.start()
		scenario(func(f func() answer) (answer, string) {
			m.storage.failAt(n)
			got := f()
			hit = m.storage.heal()
			return got, hit
		})
		if hit == "" {
			require.Greater(t, faults, 0, "no operation was made to fail")
			return
		}
		faults++
	}
}

func TestAnIssueThatStorageFailsLeavesNothingLive(t *testing.T) {
	m := newMount(t)
	m.role("one-at-a-time", map[string]any{"max_active": 1})
	eachFault(t, m, func(act func(func() answer) (answer, string)) {
		got, failed := act(func() answer { return m.read("creds/one-at-a-time") })
		if failed == "" {
			require.Equal(t, http.StatusOK, got.status, got.err)
			return
		}
		require.Equal(t, http.StatusInternalServerError, got.status, "%s failed: %s", failed, got.err)
		require.Zero(t, m.github.Live(), "%s failed", failed)
		require.Empty(t, m.storage.keys("live/"), "%s failed", failed)
		again := m.issue("one-at-a-time")
		require.Empty(t, m.revoke(again).err)
	})
	require.Equal(t, 1, m.github.Live(), "the one that went through")
}

func TestARevocationThatStorageFailsIsDoneByTheNextTry(t *testing.T) {
	for name, restart := range map[string]bool{"in the same process": false, "after a restart": true} {
		t.Run(name, func(t *testing.T) {
			m := newMount(t)
			eachFault(t, m, func(act func(func() answer) (answer, string)) {
				credential := m.issue("build-dev")
				// Old enough for GitHub's "unknown" to prove that it is dead.
				m.clock.advance(2 * time.Minute)
				_, failed := act(func() answer { return m.revoke(credential) })
				if restart {
					m.start()
				}
				require.Empty(t, m.revoke(credential).err, "after %q failed", failed)
				require.Equal(t, githubtest.Revoked, m.state(credential))
				require.Equal(t, "revoked", m.record(credential)["status"], "after %q failed", failed)
				require.Empty(t, m.storage.keys("live/"), "after %q failed", failed)
				require.Equal(t, 1, m.told(credential, "issued"), "after %q failed", failed)
				require.Equal(t, 1, m.told(credential, "revoked"), "after %q failed", failed)
			})
		})
	}
}

// told counts the events of a type that tell of a credential.
func (m *mount) told(of answer, kind string) int {
	m.t.Helper()
	require.NoError(m.t, m.engine.Ledger.Flush(m.t.Context()))
	id, after, count := of.data["token_id"].(string), "", 0
	for {
		page := m.write("events", map[string]any{"after": after, "limit": 1000})
		require.Empty(m.t, page.err)
		events, _ := page.data["events"].([]any)
		for _, e := range events {
			if strings.Contains(e.(string), id) && strings.Contains(e.(string), fmt.Sprintf(`"type":%q`, kind)) {
				count++
			}
		}
		if len(events) == 0 {
			return count
		}
		after = page.data["next"].(string)
	}
}

func TestARenewalThatStorageFailsKeepsTheLease(t *testing.T) {
	m := newMount(t)
	credential := m.issue("build-dev")
	m.clock.advance(time.Minute)
	before := m.record(credential)["lease_until"]
	eachFault(t, m, func(act func(func() answer) (answer, string)) {
		got, failed := act(func() answer { return m.renew(credential, 0) })
		if failed != "" {
			require.Equal(t, http.StatusInternalServerError, got.status, "%s failed", failed)
			require.Equal(t, before, m.record(credential)["lease_until"], "%s failed", failed)
			return
		}
		require.NotEqual(t, before, m.record(credential)["lease_until"])
	})
	require.Equal(t, githubtest.Live, m.state(credential))
}

func TestADefinitionThatStorageFailsIsWholeOrNotThere(t *testing.T) {
	m := newMount(t)
	for path, versions := range map[string][2]map[string]any{
		"roles/build-dev":  {roleData(nil), roleData(map[string]any{"purpose": "another", "ttl": 60})},
		"environments/dev": {{"description": "one"}, {"description": "two", "ttl": 60}},
		"stages/nightly":   {{"description": "one", "github": []string{"contents=read"}}, {"description": "two"}},
		"config/github":    {m.config(nil), m.config(map[string]any{"request_timeout": 5, "max_concurrency": 3})},
	} {
		t.Run(path, func(t *testing.T) {
			m.must(path, versions[0])
			before := m.read(path).data
			eachFault(t, m, func(act func(func() answer) (answer, string)) {
				got, failed := act(func() answer { return m.write(path, versions[1]) })
				after := m.read(path).data
				m.start()
				require.Equal(t, after, m.read(path).data, "memory and storage agree after %q failed", failed)
				if failed != "" && got.status >= 400 && !strings.HasPrefix(failed, "delete retired/") {
					require.Equal(t, before, after, "nothing is written when %q fails", failed)
				}
				require.Empty(t, m.write(path, versions[1]).err, "the next try succeeds")
				require.NotEqual(t, before, m.read(path).data)
				m.must(path, versions[0])
			})
		})
	}
}

func TestADeletionThatStorageFailsIsDoneByTheNextTry(t *testing.T) {
	m := newMount(t)
	for _, path := range []string{"roles/spare", "environments/spare", "stages/spare", "config/spare"} {
		t.Run(path, func(t *testing.T) {
			eachFault(t, m, func(act func(func() answer) (answer, string)) {
				body := map[string]any{"description": "spare"}
				switch path {
				case "roles/spare":
					body = roleData(nil)
				case "config/spare":
					body = m.config(nil)
				}
				m.must(path, body)
				_, failed := act(func() answer { return m.do(logical.DeleteOperation, path, nil) })
				require.Empty(t, m.do(logical.DeleteOperation, path, nil).err, "after %q failed", failed)
				require.Equal(t, http.StatusNotFound, m.read(path).status)
				m.start()
				require.Equal(t, http.StatusNotFound, m.read(path).status)
			})
		})
	}
}

// A config that moves away and back, with any storage operation failing on the way,
// never loses the credential with which live tokens are revoked.
func TestAMoveThatStorageFailsLosesNoCredential(t *testing.T) {
	m := newMount(t)
	away := m.config(map[string]any{"base_url": "http://127.0.0.1:1", "verify": false})
	for name, target := range map[string]map[string]any{"away": away, "back": m.config(nil)} {
		t.Run(name, func(t *testing.T) {
			eachFault(t, m, func(act func(func() answer) (answer, string)) {
				m.must("config/github", m.config(nil))
				credential := m.issue("build-dev")
				if name == "back" {
					m.must("config/github", away)
				}
				_, failed := act(func() answer { return m.write("config/github", target) })
				m.start()
				require.Empty(t, m.revoke(credential).err, "after %q failed", failed)
				require.Equal(t, githubtest.Revoked, m.state(credential), "after %q failed", failed)
			})
		})
	}
}

func TestAStartThatStorageFailsIsDoneByTheNextTry(t *testing.T) {
	m := newMount(t)
	credential := m.issue("build-dev")
	for n := 1; ; n++ {
		m.open()
		start := func() error { return m.engine.Ledger.Start(t.Context(), m.engine.Revoke.Adopt) }
		m.storage.failAt(n)
		err := start()
		failed := m.storage.heal()
		if failed == "" {
			require.NoError(t, err)
			break
		}
		require.ErrorIs(t, err, errStorage)
		require.NoError(t, start(), "after %q failed", failed)
		live, err := m.engine.Ledger.LiveAt("github", "")
		require.NoError(t, err)
		require.Equal(t, 1, live, "after %q failed", failed)
	}
	require.Equal(t, "active", m.record(credential)["status"])
	require.Equal(t, 1, m.told(credential, "issued"))
}

// Secrets lie only under the prefixes that Vault wraps with its seal.
func TestSecretsLieWhereTheSealWraps(t *testing.T) {
	m := newMount(t)
	credential := m.issue("build-dev")
	m.must("config/github", m.config(map[string]any{"base_url": "http://127.0.0.1:1", "verify": false}))
	require.NoError(t, m.engine.Ledger.Flush(t.Context()))
	secrets := []string{credential.data["token"].(string), keyLine(m.app.PrivateKeyPEM())}
	found := 0
	for _, key := range m.storage.keys("") {
		entry, err := m.storage.InmemStorage.Get(t.Context(), key)
		require.NoError(t, err)
		for _, secret := range secrets {
			if !strings.Contains(string(entry.Value), secret) {
				continue
			}
			found++
			require.True(t, slices.ContainsFunc(m.SpecialPaths().SealWrapStorage, func(prefix string) bool {
				return strings.HasPrefix(key, prefix)
			}), "a secret lies under %s", key)
		}
	}
	require.Equal(t, 3, found, "the token, the key and the key of the address that was left")
}

// keyLine is a line from the middle of a key, which is the same however its line ends
// are written.
func keyLine(pem string) string { return strings.Split(pem, "\n")[5] }
