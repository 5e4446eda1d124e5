// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea/giteatest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// addGitLab puts a GitLab with the projects acme/web and acme/api behind the mount,
// the config gitlab and the role pull on acme/web.
func (m *mount) addGitLab() *gitlabtest.Instance {
	m.t.Helper()
	g := gitlabtest.New(m.clock.now)
	server := httptest.NewServer(g)
	m.t.Cleanup(server.Close)
	m.t.Cleanup(g.Close)
	user := g.AddUser("vault")
	g.SetMember(user, "acme", gitlabtest.Maintainer)
	g.AddProject("acme/web")
	g.AddProject("acme/api")
	m.must("config/gitlab", map[string]any{
		"provider": "gitlab", "base_url": server.URL,
		"token": g.AddPersonalToken(user, "vault", []string{"api"}, time.Time{}),
	})
	m.role("pull", gitlabRole(nil))
	return g
}

func gitlabRole(changes map[string]any) map[string]any {
	return changed(map[string]any{"config": "gitlab", "repositories": "acme/web", "permissions": "repository=read"}, changes)
}

// addForgejo puts a Forgejo 15 behind the mount, the config forgejo and the role
// fetch on acme/web.
func (m *mount) addForgejo() *giteatest.Forgejo {
	m.t.Helper()
	f := giteatest.NewForgejo(m.t, "acme/web", "acme/api")
	m.must("config/forgejo", map[string]any{
		"provider": "gitea", "base_url": f.URL, "username": f.Admin, "password": f.Password,
	})
	m.role("fetch", forgejoRole(nil))
	return f
}

func forgejoRole(changes map[string]any) map[string]any {
	return changed(map[string]any{"config": "forgejo", "repositories": "acme/web", "permissions": "repository=read"}, changes)
}

// mintBehind makes a token as a predecessor did that died before it wrote it down.
func (m *mount) mintBehind(config, subject, repository, id string) string {
	m.t.Helper()
	link, err := m.engine.Connections.Link(m.t.Context(), config)
	require.NoError(m.t, err)
	token, err := link.Connection.Mint(m.t.Context(), providers.Grant{
		TokenID: id, Subject: subject, Account: "acme", Repositories: []string{repository},
		Permissions: []providers.Permission{{Resource: "repository", Level: providers.Read}},
		ExpiresAt:   m.clock.now().Add(10 * time.Hour),
	})
	require.NoError(m.t, err)
	return token.Secret
}

// eventsOf are the events of a type.
func (m *mount) eventsOf(kind string) []map[string]any {
	m.t.Helper()
	require.NoError(m.t, m.engine.Ledger.Flush(m.t.Context()))
	answer := m.write("events", map[string]any{"limit": 1000})
	require.Empty(m.t, answer.err)
	var events []map[string]any
	for _, line := range answer.data["events"].([]any) {
		var event map[string]any
		require.NoError(m.t, json.Unmarshal([]byte(line.(string)), &event))
		if event["type"] == kind {
			events = append(events, event)
		}
	}
	return events
}

// countLines counts the lines of a log that hold the words.
func countLines(log, words string) int {
	n := 0
	for line := range strings.Lines(log) {
		if strings.Contains(line, words) {
			n++
		}
	}
	return n
}

const orphan = "2030050607-0123456789abcdef01234567"

// unsettled is a minute, after which whatever was under way at a platform is done.
const unsettled = time.Minute

func TestLostAnswerIsFoundByName(t *testing.T) {
	m := newMount(t)
	g := m.addGitLab()
	m.engine.Issue.RevokeLost(t.Context()) // what a start looks for
	g.Fail(gitlabtest.Fault{Method: http.MethodPost, Times: 1, Drop: true})
	g.Fail(gitlabtest.Fault{Path: "_tokens", Status: http.StatusServiceUnavailable})
	require.Equal(t, http.StatusServiceUnavailable, m.read("creds/pull").status)
	require.Len(t, g.Live(), 1, "the answer was lost before anything was made")
	m.engine.Issue.RevokeLost(t.Context())
	require.Len(t, g.Live(), 1, "the platform is down")
	g.Heal()
	m.engine.Issue.RevokeLost(t.Context())
	require.Empty(t, g.Live())
	events := m.eventsOf("orphan_revoked")
	require.Len(t, events, 1)
	require.Equal(t, "gitlab", events[0]["config"])
	require.Equal(t, "acme/web", events[0]["place"])
}

// A platform may carry out a request long after its caller has gone.
func TestLostAnswerThatTakesEffectLate(t *testing.T) {
	m := newMount(t)
	g := m.addGitLab()
	g.Fail(gitlabtest.Fault{Method: http.MethodPost, Times: 1, Status: http.StatusServiceUnavailable})
	require.Equal(t, http.StatusServiceUnavailable, m.read("creds/pull").status)
	m.engine.Issue.RevokeLost(t.Context())
	late := m.mintBehind("gitlab", "5e1f-mount/pull", "web", orphan)
	m.engine.Issue.RevokeLost(t.Context())
	require.True(t, g.IsLive(late), "a place is looked at all the time")
	m.clock.advance(unsettled)
	m.engine.Issue.RevokeLost(t.Context())
	require.False(t, g.IsLive(late))
	g.Forget()
	m.clock.advance(unsettled)
	m.engine.Issue.RevokeLost(t.Context())
	require.Empty(t, g.Requests(), "a place is looked at for ever")
}

// After a start nobody knows what was made: a crash, or an older snapshot that knows
// neither the token nor its role.
func TestStartFindsWhatIsNotOnRecord(t *testing.T) {
	m := newMount(t)
	g, f := m.addGitLab(), m.addForgejo()
	known := m.issue("pull").data["token"].(string)
	fetched := m.issue("fetch").data["token"].(string)
	lost := []string{
		m.mintBehind("gitlab", "5e1f-mount/pull", "web", orphan),
		m.mintBehind("gitlab", "5e1f-mount/a-role-that-is-gone", "api", "2030050607-1123456789abcdef01234567"),
		m.mintBehind("forgejo", "5e1f-mount/fetch", "web", orphan),
		m.mintBehind("forgejo", "5e1f-mount/a-role-that-is-gone", "api", "2030050607-1123456789abcdef01234567"),
	}
	anothers := []string{
		m.mintBehind("gitlab", "another-mount/pull", "web", "2030050607-2123456789abcdef01234567"),
		m.mintBehind("forgejo", "another-mount/fetch", "web", "2030050607-2123456789abcdef01234567"),
	}
	alive := func(secret string) bool {
		return g.IsLive(secret) || f.Reaches(secret, "acme/web") || f.Reaches(secret, "acme/api")
	}
	m.start()
	m.engine.Issue.RevokeLost(t.Context())
	for i, secret := range lost {
		require.False(t, alive(secret), "%d", i)
	}
	for i, secret := range append(anothers, known, fetched) {
		require.True(t, alive(secret), "%d", i)
	}
	require.Len(t, m.eventsOf("orphan_revoked"), len(lost))
}

// One platform that is down delays the search at no other, and says so once.
func TestSearchGoesOnElsewhere(t *testing.T) {
	m := newMount(t)
	g, f := m.addGitLab(), m.addForgejo()
	g.Fail(gitlabtest.Fault{Status: http.StatusBadGateway})
	secret := m.mintBehind("forgejo", "5e1f-mount/fetch", "web", orphan)
	for range 3 {
		m.engine.Issue.RevokeLost(t.Context())
	}
	require.False(t, f.Reaches(secret, "acme/web"))
	require.Equal(t, 1, countLines(m.log.String(), "cannot be looked for"))
	g.Heal()
	m.engine.Issue.RevokeLost(t.Context())
	g.Forget()
	m.engine.Issue.RevokeLost(t.Context())
	require.Empty(t, g.Requests())
}

// Whatever is being made while the search runs is nobody's orphan.
func TestSearchSparesWhatIsBeingMade(t *testing.T) {
	m := newMount(t)
	g := m.addGitLab()
	// A role on the same project whose mints fail keeps the search going.
	m.role("push", gitlabRole(map[string]any{"stage": "release", "permissions": "repository=write"}))
	g.Fail(gitlabtest.Fault{Method: http.MethodPost, Path: "/access_tokens", Status: http.StatusBadGateway})
	done, searched := make(chan struct{}), make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				searched <- n
				return
			default:
				_ = m.read("creds/push")
				m.engine.Issue.RevokeLost(context.WithoutCancel(t.Context()))
			}
		}
	}()
	var tokens []string
	for range 50 {
		tokens = append(tokens, m.issue("pull").data["token"].(string))
	}
	close(done)
	require.Positive(t, <-searched)
	for _, token := range tokens {
		require.True(t, g.IsLive(token))
	}
}

// A config that is deleted takes the search with it.
func TestSearchEndsWithTheConfig(t *testing.T) {
	m := newMount(t)
	g := m.addGitLab()
	g.Fail(gitlabtest.Fault{Status: http.StatusServiceUnavailable})
	require.Equal(t, http.StatusServiceUnavailable, m.read("creds/pull").status)
	for _, path := range []string{"roles/pull", "config/gitlab"} {
		require.Empty(t, m.do("delete", path, nil).err)
	}
	g.Heal()
	g.Forget()
	m.engine.Issue.RevokeLost(t.Context())
	m.engine.Issue.RevokeLost(t.Context())
	require.Empty(t, g.Requests())
	require.Equal(t, 1, countLines(m.log.String(), "the config is gone"))
}

// The account of a role goes when the role does and no token of it lives.
func TestAccountGoesWithItsRole(t *testing.T) {
	m := newMount(t)
	f := m.addForgejo()
	held := m.issue("fetch")
	retire := func() []string {
		t.Helper()
		require.NoError(t, m.engine.Roles.Retire(t.Context()))
		return f.Accounts()
	}
	account := held.data["username"].(string)
	require.Contains(t, f.Accounts(), account)
	require.Empty(t, m.do("delete", "roles/fetch", nil).err)
	require.Contains(t, retire(), account, "its token lives")
	require.Empty(t, m.revoke(held).err)
	require.NotContains(t, retire(), account)

	m.role("fetch", forgejoRole(nil))
	require.Empty(t, m.revoke(m.issue("fetch")).err)
	require.Empty(t, m.do("delete", "roles/fetch", nil).err)
	m.role("fetch", forgejoRole(nil))
	require.Contains(t, retire(), account, "the role has come back")

	// A role that moves leaves its account behind, however busy it is elsewhere.
	m.addGitLab()
	m.role("fetch", gitlabRole(nil))
	m.issue("fetch")
	require.NotContains(t, retire(), account)
	require.Empty(t, m.storage.keys("retire/"))
}

// A token that nobody has on record keeps neither itself nor its account alive.
func TestAccountWithALostToken(t *testing.T) {
	m := newMount(t)
	f := m.addForgejo()
	m.mintBehind("forgejo", "5e1f-mount/fetch", "web", orphan)
	require.Empty(t, m.do("delete", "roles/fetch", nil).err)
	require.NoError(t, m.engine.Roles.Retire(t.Context()))
	require.Equal(t, 1, f.Live())
	m.start()
	m.engine.Issue.RevokeLost(t.Context())
	require.NoError(t, m.engine.Roles.Retire(t.Context()))
	require.Zero(t, f.Live())
	require.Equal(t, []string{f.Admin}, f.Accounts())
}

// Roles and config deleted in one breath leave nothing behind; a platform that is
// gone does not keep its config alive.
func TestAccountGoesWithItsConfig(t *testing.T) {
	m := newMount(t)
	f := m.addForgejo()
	require.Empty(t, m.revoke(m.issue("fetch")).err)
	for _, path := range []string{"roles/fetch", "config/forgejo"} {
		require.Empty(t, m.do("delete", path, nil).err)
	}
	require.Equal(t, []string{f.Admin}, f.Accounts())

	m.addForgejo()
	gone := m.addForgejo()
	require.Empty(t, m.revoke(m.issue("fetch")).err)
	gone.Password = "changed behind our back"
	for _, path := range []string{"roles/fetch", "config/forgejo"} {
		require.Empty(t, m.do("delete", path, nil).err)
	}
	require.Equal(t, 1, countLines(m.log.String(), "may still keep something"))
	require.NoError(t, m.engine.Roles.Retire(t.Context()))
	require.Empty(t, m.storage.keys("retire/"))
}

// What a server can do is asked before a role is written that needs it, also by an
// engine that has just started.
func TestNarrowingIsJudgedWhenARoleIsWritten(t *testing.T) {
	for version, status := range map[string]int{"15.0.1+gitea-1.22.0": http.StatusNoContent, "1.26.0": http.StatusBadRequest} {
		m := newMount(t)
		f := m.addForgejo()
		f.Version = version
		m.start()
		answer := m.write("roles/any", roleData(forgejoRole(map[string]any{"repositories": "acme/*"})))
		require.Equal(t, status, answer.status, answer.err)
		if status == http.StatusBadRequest {
			require.Contains(t, answer.err, "without patterns and claims")
			require.Contains(t, answer.err, version)
		}
	}
}

// rotations are told, and what shows of a password helps nobody to guess it.
func TestRotateRoot(t *testing.T) {
	m := newMount(t)
	f, g := m.addForgejo(), m.addGitLab()
	for _, config := range []string{"forgejo", "gitlab"} {
		before := m.read("config/" + config).data
		m.clock.advance(time.Hour)
		answer := m.write("rotate-root/"+config, nil)
		require.Equal(t, http.StatusOK, answer.status, answer.err)
		after := m.read("config/" + config).data
		require.Equal(t, after, answer.data)
		for _, field := range slices.Sorted(maps.Keys(before)) {
			changes := field == "password_sha256" || field == "password_set_at" || field == "token_sha256" || field == "token_set_at"
			require.Equal(t, changes, before[field] != nil && !assert.ObjectsAreEqual(before[field], after[field]), field)
		}
	}
	m.issue("fetch")
	m.issue("pull")
	require.Len(t, g.Live(), 1)
	require.Equal(t, 1, f.Live())
	events := m.eventsOf("root_rotated")
	require.Len(t, events, 2)
	require.Equal(t, "forgejo", events[0]["config"])
	require.Equal(t, "request", events[0]["occasion"])
	require.Equal(t, http.StatusBadRequest, m.write("rotate-root/github", nil).status)
	require.Equal(t, http.StatusNotFound, m.write("rotate-root/nobody", nil).status)
}

// A token that cannot be killed keeps nobody from finding the others.
func TestSearchGoesOnPastOneThatCannotBeKilled(t *testing.T) {
	m := newMount(t)
	g := m.addGitLab()
	stuck := m.mintBehind("gitlab", "5e1f-mount/pull", "web", orphan)
	other := m.mintBehind("gitlab", "5e1f-mount/pull", "api", "2030050607-1123456789abcdef01234567")
	g.Fail(gitlabtest.Fault{Method: http.MethodDelete, Path: "/projects/2/", Status: http.StatusForbidden, Body: `{"message":"403 Forbidden"}`})
	m.engine.Issue.RevokeLost(t.Context())
	require.True(t, g.IsLive(stuck))
	require.False(t, g.IsLive(other))
	g.Heal()
	m.engine.Issue.RevokeLost(t.Context())
	require.False(t, g.IsLive(stuck))
}
