// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
)

// What was approved is gone for good once anything that it rests on was written,
// also where everything is as it was again.
func TestAChangeThatIsTakenBackVoidsToo(t *testing.T) {
	m := newMount(t)
	issuer := m.proven(t)
	patch := func(path string, there, back map[string]any) func() {
		return func() { m.patch(path, there); m.patch(path, back) }
	}
	rewrite := func(path string) func() {
		return func() { m.must(path, m.definition(path)) }
	}
	for _, change := range []struct {
		what string
		do   func()
	}{
		{"the role is disabled and enabled", patch("roles/deploy", map[string]any{"disabled": true}, map[string]any{"disabled": false})},
		{"the role reaches elsewhere for a while", patch("roles/deploy", map[string]any{"repositories": "api"}, map[string]any{"repositories": "{{claims.repository}}"})},
		{"the role is deleted and made again", func() {
			before := m.definition("roles/deploy")
			require.Empty(t, m.do(logical.DeleteOperation, "roles/deploy", nil).err)
			m.must("roles/deploy", before)
		}},
		{"the role is written as it is", rewrite("roles/deploy")},
		{"a built-in stage is overridden and comes back", func() {
			m.must("stages/build", map[string]any{"github": "contents=write"})
			require.Empty(t, m.do(logical.DeleteOperation, "stages/build", nil).err)
		}},
		{"a stage that came back is overridden and comes back again", func() {
			m.must("stages/build", map[string]any{"github": "contents=write"})
			require.Empty(t, m.do(logical.DeleteOperation, "stages/build", nil).err)
		}},
		{"the environment", patch("environments/live", map[string]any{"max_ttl": 60}, map[string]any{"max_ttl": 0})},
		{"the issuer", patch("issuers/ci", map[string]any{"audiences": "another"}, map[string]any{"audiences": m.definition("issuers/ci")["audiences"]})},
		{"the config", patch("config/github", map[string]any{"allowed_roles": "build-*"}, map[string]any{"allowed_roles": "*"})},
	} {
		t.Run(change.what, func(t *testing.T) {
			proof := issuer.Mint(jobs())
			id := m.approved(t, proof)
			change.do()
			require.Equal(t, "void", m.read("approvals/deploy/" + id).data["status"])
			m.start() // memory is not what holds it
			require.Equal(t, "void", m.read("approvals/deploy/" + id).data["status"])
			got := m.as("alice").write("creds/deploy", map[string]any{"id_token": proof, "approval_id": id})
			require.Equal(t, http.StatusForbidden, got.status)
			require.Contains(t, got.err, "is void")
			next := issuer.Mint(jobs())
			got = m.as("alice").write("creds/deploy", map[string]any{"id_token": next, "approval_id": m.approved(t, next)})
			require.Equal(t, http.StatusOK, got.status, "one that was asked for since serves: %s", got.err)
		})
	}
	require.Equal(t, "built in", m.read("stages/build").data["description"])
	require.Empty(t, m.do(logical.DeleteOperation, "stages/build", nil).err, "what has come back is there to be deleted as often as anybody likes")
}

// definition is what a read shows of it, to be written again.
func (m *mount) definition(path string) map[string]any {
	m.t.Helper()
	got := m.read(path)
	require.Equal(m.t, http.StatusOK, got.status, got.err)
	return got.data
}

// What is still as it was when it was approved does not void it.
func TestWhatChangesNothingOfItLeavesAnApproval(t *testing.T) {
	m := newMount(t)
	m.addGitLab()
	m.role("pull", gitlabRole(map[string]any{"required_approvals": 1}))
	asked := m.as("alice").must("approvals/pull", map[string]any{"reason": "a look"})
	path := "approvals/pull/" + asked.data["approval_id"].(string)
	m.as("bob").must(path+"/approve", nil)

	m.must("rotate-root/gitlab", nil)
	m.role("another", nil)
	m.must("stages/test", map[string]any{"github": "contents=read"})
	m.must("environments/another", nil)
	m.start()
	require.Equal(t, "approved", m.read(path).data["status"])
	got := m.as("alice").write("creds/pull", map[string]any{"approval_id": asked.data["approval_id"]})
	require.Equal(t, http.StatusOK, got.status, got.err)
}

// A definition that was stored before it had a revision can be read, and its next
// write voids.
func TestADefinitionWithoutARevisionIsRead(t *testing.T) {
	m := newMount(t)
	issuer := m.proven(t)
	for _, key := range []string{store.Roles + "deploy", store.Environments + "live", store.Issuers + "ci", store.Configs + "github"} {
		var value map[string]any
		found, err := store.Get(t.Context(), m.storage, key, &value)
		require.NoError(t, err)
		require.True(t, found)
		require.NotEmpty(t, value["revision"], key)
		delete(value, "revision")
		require.NoError(t, store.Put(t.Context(), m.storage, key, value))
	}
	m.start()
	proof := issuer.Mint(jobs())
	id := m.approved(t, proof)
	require.Equal(t, "approved", m.read("approvals/deploy/" + id).data["status"])
	m.patch("roles/deploy", map[string]any{"disabled": true})
	m.patch("roles/deploy", map[string]any{"disabled": false})
	require.Equal(t, "void", m.read("approvals/deploy/" + id).data["status"])
}

// Whoever approved cannot start the job that uses it: a manual job of the same
// pipeline is the same run, commit and ref.
func TestAnApproverDoesNotStartTheJobThatUsesIt(t *testing.T) {
	m := newMount(t)
	issuer := m.proven(t)
	m.entity.Aliases = []*logical.Alias{{Name: "hubot"}, {Name: "Colleague"}} // all of whom the test knows have these
	id := m.approved(t, issuer.Mint(jobs()))
	use := func(actor any) answer {
		return m.as("alice").write("creds/deploy", map[string]any{
			"id_token": issuer.Mint(jobs().With(identitytest.Claims{"actor": actor})), "approval_id": id,
		})
	}
	got := use("colleague")
	require.Equal(t, http.StatusForbidden, got.status)
	require.Contains(t, got.err, "bob has approved it and (as colleague) started the job that uses it")
	for _, actor := range []any{nil, "", []string{"octocat"}, map[string]any{"login": "octocat"}} {
		got := use(actor)
		require.Equal(t, http.StatusForbidden, got.status)
		require.Contains(t, got.err, "does not name who started the job")
		asked := m.as("alice").write("approvals/deploy", map[string]any{
			"reason": "release", "id_token": issuer.Mint(jobs().With(identitytest.Claims{"actor": actor})),
		})
		require.Equal(t, http.StatusForbidden, asked.status)
		require.Contains(t, asked.err, "does not name who started the job")
	}
	require.Zero(t, m.github.Live())
	got = use("octocat")
	require.Equal(t, http.StatusOK, got.status, got.err)
}

// An id_token has had its credential also where the engine was started again since.
func TestASingleUseIsRememberedAcrossAStart(t *testing.T) {
	m := newMount(t)
	issuer := m.proven(t)
	m.patch("roles/deploy", map[string]any{"required_approvals": 0})
	proof := map[string]any{"id_token": issuer.Mint(jobs())}
	got := m.write("creds/deploy", proof)
	require.Equal(t, http.StatusOK, got.status, got.err)
	m.start()
	again := m.write("creds/deploy", proof)
	require.Equal(t, http.StatusForbidden, again.status)
	require.Contains(t, again.err, "single_use: this id_token has had its credential")
	require.Equal(t, 1, m.github.Live())
}

// asks is the command that a refusal names.
var asks = regexp.MustCompile(`ask with: vault write ci/(\S+) (.+?)(?:, then write approval_id here)?\)?\]?$`)

// typed runs the command that a refusal names, as a shell in which $ID_TOKEN is set
// would, and gives the approval's id.
func (m *mount) typed(t *testing.T, refusal answer, idToken string) string {
	t.Helper()
	require.Equal(t, http.StatusForbidden, refusal.status)
	command := asks.FindStringSubmatch(refusal.err)
	require.NotNil(t, command, refusal.err)
	body := map[string]any{}
	for _, word := range strings.Fields(command[2]) {
		field, value, _ := strings.Cut(word, "=")
		body[field] = os.Expand(strings.Trim(value, `"`), func(string) string { return idToken })
	}
	asked := m.write(command[1], body)
	require.Equal(t, http.StatusOK, asked.status, asked.err)
	return asked.data["approval_id"].(string)
}

// Each refusal for want of an approval names a command that asks for one.
func TestARefusalNamesACommandThatWorks(t *testing.T) {
	m := newMount(t)
	issuer := m.proven(t)
	m.role("plain", map[string]any{"required_approvals": 1})
	for _, role := range []string{"deploy", "plain"} {
		t.Run(role, func(t *testing.T) {
			proof := func() string {
				if role == "plain" {
					return ""
				}
				return issuer.Mint(jobs())
			}
			read := func(id string) answer {
				body := map[string]any{"approval_id": id}
				if idToken := proof(); idToken != "" {
					body["id_token"] = idToken
				}
				return m.as("alice").write("creds/"+role, body)
			}
			approve := func(id string) string {
				m.as("bob").must("approvals/"+role+"/"+id+"/approve", nil)
				return id
			}
			id := approve(m.as("alice").typed(t, read(""), proof()))
			require.Equal(t, http.StatusOK, read(id).status)

			denied := m.as("alice").typed(t, read(id), proof())
			require.Contains(t, read(id).err, "is used")
			m.as("bob").must("approvals/"+role+"/"+denied+"/deny", nil)
			void := m.as("alice").typed(t, read(denied), proof())
			m.patch("roles/"+role, map[string]any{"purpose": "another"})
			require.Contains(t, read(void).err, "is void")
			expired := approve(m.as("alice").typed(t, read(void), proof()))
			m.clock.advance(time.Hour)
			require.Contains(t, read(expired).err, "is expired")
			approve(m.as("alice").typed(t, read(expired), proof()))
		})
	}
}
