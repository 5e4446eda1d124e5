// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

const mintEndpoint = "POST /app/installations/{installation_id}/access_tokens"

func TestACredentialSaysAllOfItself(t *testing.T) {
	m := newMount(t)
	got := m.issue("build-dev")
	token := got.data["token"].(string)
	delete(got.data, "token")
	id, sha := got.data["token_id"], got.data["token_sha256"]
	require.Equal(t, map[string]any{
		"token_id": id, "token_sha256": sha, "username": "x-access-token",
		"expires_at": "2030-05-06T08:08:09Z", "provider": "github", "config": "github", "base_url": m.github.URL(),
		"organization": "acme", "role": "build-dev", "stage": "build", "environment": "dev",
		"owner": "team-web", "purpose": "build the site",
		"repositories": []any{"web"}, "permissions": []any{"contents=read"},
	}, got.data)
	require.Equal(t, 15*time.Minute, got.secret.TTL, "neither role nor environment says: 15 minutes")
	require.Equal(t, time.Hour, got.secret.MaxTTL, "GitHub's own end of the token")
	require.True(t, got.secret.Renewable)
	require.Equal(t, map[string]any{"token_id": id, "secret_type": "ci_token"}, got.secret.InternalData, "the lease holds no secret")
	require.Equal(t, githubtest.Live, m.github.StateOf(token))
	made := m.github.Tokens()[0]
	require.Equal(t, sha, made.SHA256, "the hash is GitHub's own hashed_token")
	require.Equal(t, []string{"web"}, made.Repositories)
	require.Equal(t, map[string]string{"contents": "read", "metadata": "read"}, made.Permissions)
}

func TestARecordOutlivesItsToken(t *testing.T) {
	m := newMount(t)
	got := m.issue("build-dev")
	record := m.record(got)
	require.Equal(t, "active", record["status"])
	require.Equal(t, "2030-05-06T07:08:09Z", record["issued_at"])
	require.Equal(t, "2030-05-06T07:23:09Z", record["lease_until"])
	require.NotContains(t, record, "token")

	require.Empty(t, m.revoke(got).err)
	require.Equal(t, githubtest.Revoked, m.state(got))
	record = m.record(got)
	require.Equal(t, "revoked", record["status"])
	require.Equal(t, "lease", record["revoked_by"])
	require.Empty(t, m.storage.keys("live/"), "what could revoke is gone with the token")
}

func TestRevokeAsOftenAsVaultLikes(t *testing.T) {
	m := newMount(t)
	got := m.issue("build-dev")
	for range 3 {
		require.Empty(t, m.revoke(got).err)
	}
	require.Equal(t, 1, m.github.Counts()["DELETE /installation/token"])
}

func TestRevokeNeedsNothingButStorageAndLease(t *testing.T) {
	t.Run("the role is gone, and the engine was restarted", func(t *testing.T) {
		m := newMount(t)
		got := m.issue("build-dev")
		require.Empty(t, m.do(logical.DeleteOperation, "roles/build-dev", nil).err)
		m.start()
		require.Empty(t, m.revoke(got).err)
		require.Equal(t, githubtest.Revoked, m.state(got))
	})
	t.Run("past its own expiry no call is made", func(t *testing.T) {
		m := newMount(t)
		got := m.issue("build-dev")
		m.clock.advance(2 * time.Hour)
		require.Empty(t, m.revoke(got).err)
		require.Zero(t, m.github.Counts()["DELETE /installation/token"])
		require.Equal(t, "expired", m.record(got)["status"])
		require.Equal(t, "expiry", m.record(got)["revoked_by"])
	})
	t.Run("the App was uninstalled", func(t *testing.T) {
		m := newMount(t)
		got := m.issue("build-dev")
		m.clock.advance(5 * time.Minute)
		m.github.Uninstall(m.inst.ID)
		require.Empty(t, m.revoke(got).err)
		require.Equal(t, "revoked", m.record(got)["status"])
	})
	t.Run("GitHub has lost the key's App meanwhile", func(t *testing.T) {
		m := newMount(t)
		got := m.issue("build-dev")
		m.github.SetKeys(m.app.ID)
		require.Empty(t, m.revoke(got).err)
		require.Equal(t, githubtest.Revoked, m.state(got))
	})
}

func TestAYoungTokenThatIsUnknownIsNotBelievedDead(t *testing.T) {
	m := newMount(t)
	got := m.issue("build-dev")
	m.github.Inject(githubtest.Fault{
		Match: "DELETE /installation/token", Times: 2, Status: http.StatusUnauthorized, Body: `{"message":"Bad credentials"}`,
	})
	require.Empty(t, m.revoke(got).err)
	require.Equal(t, githubtest.Revoked, m.state(got), "it was tried again until it was dead")
}

func TestRenewal(t *testing.T) {
	t.Run("prolongs by the increment or the first life, up to the platform's end", func(t *testing.T) {
		m := newMount(t)
		got := m.issue("build-dev")
		m.clock.advance(10 * time.Minute)
		require.Empty(t, m.renew(got, 0).err)
		require.Equal(t, "2030-05-06T07:33:09Z", m.record(got)["lease_until"])
		require.Empty(t, m.renew(got, 5*time.Minute).err)
		require.Equal(t, "2030-05-06T07:23:09Z", m.record(got)["lease_until"], "an increment may also shorten")
		require.Empty(t, m.renew(got, 24*time.Hour).err)
		require.Equal(t, "2030-05-06T08:08:09Z", m.record(got)["lease_until"], "never past GitHub's own end")
	})
	for _, gate := range []struct {
		name string
		shut func(m *mount)
		says string
	}{
		{"the role is disabled", func(m *mount) { m.patch("roles/build-dev", map[string]any{"disabled": true}) }, "enabled"},
		{"the role has ended", func(m *mount) {
			m.patch("roles/build-dev", map[string]any{"valid_until": "2030-05-06T07:08:10Z"})
			m.clock.advance(time.Minute)
		}, "validity"},
		{"the role is gone", func(m *mount) { m.do(logical.DeleteOperation, "roles/build-dev", nil) }, "renewal"},
		{"the role lost the repository", func(m *mount) { m.patch("roles/build-dev", map[string]any{"repositories": []string{"api"}}) }, "repositories"},
		{"the role lost the permission", func(m *mount) { m.patch("roles/build-dev", map[string]any{"permissions": []string{"packages=read"}}) }, "renewal"},
		{"the ceiling was lowered", func(m *mount) { m.must("stages/build", map[string]any{"github": []string{"packages=read"}}) }, "stage"},
		{"the environment allows other roles", func(m *mount) { m.patch("environments/dev", map[string]any{"allowed_roles": []string{"deploy-*"}}) }, "environment"},
		{"the config allows other roles", func(m *mount) { m.patch("config/github", map[string]any{"allowed_roles": []string{"deploy-*"}}) }, "config"},
		{"the role moved to another environment", func(m *mount) {
			m.must("environments/staging", nil)
			m.patch("roles/build-dev", map[string]any{"environment": "staging"})
		}, "moved"},
	} {
		t.Run("is refused when "+gate.name, func(t *testing.T) {
			m := newMount(t)
			got := m.issue("build-dev")
			gate.shut(m)
			refused := m.renew(got, 0)
			require.Equal(t, http.StatusForbidden, refused.status)
			require.Contains(t, refused.err, gate.says)
			require.Equal(t, "2030-05-06T07:23:09Z", m.record(got)["lease_until"])
			require.Empty(t, m.revoke(got).err, "it can be revoked all the same")
		})
	}
	t.Run("is refused for a token that was killed", func(t *testing.T) {
		m := newMount(t)
		got := m.issue("build-dev")
		require.Empty(t, m.write("tokens/"+got.data["token_id"].(string)+"/revoke", nil).err)
		require.Equal(t, http.StatusForbidden, m.renew(got, 0).status)
	})
}

func (m *mount) patch(path string, body map[string]any) {
	m.t.Helper()
	require.Empty(m.t, m.do(logical.PatchOperation, path, body).err, "patch %s", path)
}

func TestAMintWhoseCallerIsGoneLeavesNothingLive(t *testing.T) {
	m := newMount(t)
	ctx, hangUp := context.WithCancel(t.Context())
	m.github.Inject(githubtest.Fault{Match: "POST /app/installations/*/access_tokens", After: true, Times: 1, Delay: 200 * time.Millisecond})
	go func() {
		for m.github.Live() == 0 {
			time.Sleep(time.Millisecond)
		}
		hangUp()
	}()
	got := m.ask(ctx, &logical.Request{Operation: logical.ReadOperation, Path: "creds/build-dev"})
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Len(t, m.github.Tokens(), 1)
	require.Zero(t, m.github.Live())
	require.Empty(t, m.storage.keys("live/"))
}

func TestMoreThanWasAskedIsRevokedAndRefused(t *testing.T) {
	for name, excess := range map[string]githubtest.Excess{
		"a permission":       {Permissions: map[string]string{"administration": "write"}},
		"a higher level":     {Permissions: map[string]string{"contents": "write"}},
		"a repository":       {Repositories: []string{"api"}},
		"every repository":   {AllRepositories: true},
		"metadata, to write": {Permissions: map[string]string{"metadata": "write"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMount(t)
			m.github.Inject(githubtest.Fault{Match: "POST /app/installations/*/access_tokens", Times: 1, Excess: &excess})
			got := m.read("creds/build-dev")
			require.Equal(t, http.StatusBadGateway, got.status)
			require.Contains(t, got.err, "more than was asked")
			require.Len(t, m.github.Tokens(), 1)
			require.Zero(t, m.github.Live())
			require.Equal(t, http.StatusOK, m.read("creds/build-dev").status, "the next one is as it should be")
		})
	}
}

func TestATokenOfAnUnusableAnswerIsRevoked(t *testing.T) {
	m := newMount(t)
	m.github.Inject(githubtest.Fault{Match: "POST /app/installations/*/access_tokens", Times: 1, Excess: &githubtest.Excess{Permissions: map[string]string{"administration": "write"}}})
	m.github.Inject(githubtest.Fault{Match: "DELETE /installation/token", Times: 1, Status: http.StatusBadGateway})
	require.Equal(t, http.StatusBadGateway, m.read("creds/build-dev").status)
	require.Equal(t, 1, m.github.Live(), "the first try to revoke has failed")
	require.Len(t, m.storage.keys("live/"), 1, "so it is on record")
	m.clock.advance(5 * time.Second)
	m.engine.Revoke.RunQueue(t.Context())()
	require.Zero(t, m.github.Live())
	require.Empty(t, m.storage.keys("live/"))
}

func TestTheSweepEndsWhatNobodyElseDoes(t *testing.T) {
	m := newMount(t)
	got := m.issue("build-dev")
	m.clock.advance(14 * time.Minute)
	require.NoError(t, m.engine.Revoke.Sweep(t.Context()))
	require.Equal(t, githubtest.Live, m.state(got))
	m.clock.advance(2 * time.Minute)
	require.NoError(t, m.engine.Revoke.Sweep(t.Context()))
	require.Equal(t, githubtest.Revoked, m.state(got))
	require.Equal(t, "sweep", m.record(got)["revoked_by"])
}

func TestAKillCatchesTheMintsInFlight(t *testing.T) {
	m := newMount(t)
	goOn := make(chan struct{})
	m.github.Inject(githubtest.Fault{Match: "POST /app/installations/*/access_tokens", Times: 1, After: true, Hang: goOn})
	inFlight := make(chan answer)
	go func() { inFlight <- m.read("creds/build-dev") }()
	require.Eventually(t, func() bool { return m.github.Live() == 1 }, 10*time.Second, time.Millisecond)
	require.Empty(t, m.write("revoke", map[string]any{"owner": "team-web"}).err)
	close(goOn)
	got := <-inFlight
	require.Equal(t, http.StatusForbidden, got.status)
	require.Contains(t, got.err, "killed")
	require.Zero(t, m.github.Live())
	m.issue("build-dev") // a kill is for what there was, not for what comes
}

func TestAPlaceUnderMaxActiveIsTakenWhileTheTokenLives(t *testing.T) {
	m := newMount(t)
	m.role("two", map[string]any{"max_active": 2})
	first, _ := m.issue("two"), m.issue("two")
	refused := m.read("creds/two")
	require.Equal(t, http.StatusForbidden, refused.status)
	require.Contains(t, refused.err, "max_active")
	m.start()
	require.Equal(t, http.StatusForbidden, m.read("creds/two").status, "a restart forgets nobody")
	require.Empty(t, m.revoke(first).err)
	m.issue("two")

	m.open() // a restart that has not counted yet
	require.Equal(t, http.StatusServiceUnavailable, m.read("creds/two").status, "a counter that was lost is no zero")
	m.issue("build-dev") // what needs no count does not wait for it
}
