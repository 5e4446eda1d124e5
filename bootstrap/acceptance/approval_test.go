// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"fmt"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world/worldtest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// approvals is a stand with people who ask and decide.
type approvals struct {
	*stand
	// alice asks; bob and carol decide; octocat is who starts the jobs.
	alice, bob, carol, octocat *worldtest.Caller
	carolID                    string
	jobs                       platform
}

const peoplePolicy = `
path "ci/creds/*"                    { capabilities = ["read", "update"] }
path "ci/approvals/*"                { capabilities = ["read", "list", "update"] }
path "ci/approvals/+/+/approve"      { capabilities = ["update"] }
path "ci/approvals/guarded/+/approve" { capabilities = ["deny"] }`

func newApprovals(t *testing.T) *approvals {
	a := &approvals{stand: newStand(t, world.Options{}, githubtest.Options{})}
	a.Policy("people", peoplePolicy)
	a.Policy("job", jobPolicy)
	var users []world.User
	for _, name := range []string{"alice", "bob", "carol", "octocat"} {
		users = append(users, world.User{Name: name, Password: "correct horse " + name, Policies: []string{"people"}})
	}
	people := a.Users("people", users...)
	a.alice, a.bob, a.carol, a.octocat = a.As(people[0].Token), a.As(people[1].Token), a.As(people[2].Token), a.As(people[3].Token)
	a.carolID = people[2].EntityID
	a.jobs = platform{"github-actions", identitytest.New(t, identitytest.Options{Path: identitytest.GitHubPath}), identitytest.GitHub(), "repository"}
	a.trust(a.jobs)
	a.root.Must("ci/environments/careful", map[string]any{"required_approvals": 1})
	return a
}

// ask asks for the role and returns the approval's id.
func (a *approvals) ask(t testing.TB, who *worldtest.Caller, role string, more map[string]any) string {
	t.Helper()
	data := map[string]any{"reason": "release 1.2"}
	for field, value := range more {
		data[field] = value
	}
	answer := who.Write("ci/approvals/"+role, data)
	require.Equal(t, 200, answer.Status, answer.Errors)
	require.Equal(t, "pending", answer.Data["status"])
	return answer.Data["approval_id"].(string)
}

func decide(who *worldtest.Caller, role, id, verb string) world.Answer {
	return who.Write("ci/approvals/"+role+"/"+id+"/"+verb, map[string]any{"comment": "looked at it"})
}

func (a *approvals) approve(t testing.TB, who *worldtest.Caller, role, id, status string) {
	t.Helper()
	answer := decide(who, role, id, "approve")
	require.Equal(t, 200, answer.Status, answer.Errors)
	require.Equal(t, status, answer.Data["status"])
}

func read(who *worldtest.Caller, role, id string) world.Answer {
	return who.Write("ci/creds/"+role, map[string]any{"approval_id": id})
}

func TestApprovals(t *testing.T) {
	a := newApprovals(t)
	t.Run("somebody else approves, and it serves once", a.serveOnce)
	t.Run("as many different people as are required", a.differentPeople)
	t.Run("whoever is not known neither asks nor approves", a.unknown)
	t.Run("an approval is for one run of one commit and ref, and not for its actor to give", a.oneRun)
	t.Run("who started a job is known by an alias of any auth mount", a.otherAlias)
	t.Run("a deny ends it", a.denied)
	t.Run("a change of what it rests on makes it void", a.void)
	t.Run("destructive permissions need one everywhere", a.destructive)
	t.Run("two credentials race for one approval", a.race)
	t.Run("a role that comes to need more does not renew", a.renewal)
	t.Run("policies say who may approve which role", a.policies)
}

func (a *approvals) serveOnce(t *testing.T) {
	a.role("prod", map[string]any{"environment": "careful"})
	a.refused(t, a.alice.Read("ci/creds/prod"), `approval: 1 other(s) must approve; ask with: vault write ci/approvals/prod reason="..."`)
	id := a.ask(t, a.alice, "prod", nil)
	a.refused(t, read(a.alice, "prod", id), "is still to be decided")
	a.refused(t, decide(a.alice, "prod", id, "approve"), "you asked for it; somebody else must approve")
	a.approve(t, a.bob, "prod", id, "approved")
	require.Equal(t, 409, decide(a.carol, "prod", id, "approve").Status, "it is approved already")

	a.refused(t, read(a.bob, "prod", id), "it was asked for by somebody else")
	a.refused(t, read(a.alice, "prod", "00000000-0000-0000-0000-000000000000"), "there is no such approval")
	a.refused(t, read(a.alice, "prod", "../prod/"+id), "there is no such approval")
	a.role("prod-two", map[string]any{"environment": "careful"})
	a.refused(t, read(a.alice, "prod-two", id), "there is no such approval")
	query := a.alice.Read("ci/creds/prod?approval_id=" + id)
	require.Equal(t, 400, query.Status)

	got := read(a.alice, "prod", id)
	require.Equal(t, 200, got.Status, got.Errors)
	a.refused(t, read(a.alice, "prod", id), "is used")
	require.Equal(t, 409, decide(a.carol, "prod", id, "deny").Status, "too late to deny: revoke the token")

	tokenID := got.Data["token_id"].(string)
	require.Contains(t, fmt.Sprint(a.root.Read("ci/tokens/" + tokenID).Data["approved_by"]), "people-bob")
	view := a.alice.Read("ci/approvals/prod/" + id).Data
	require.Equal(t, "used", view["status"])
	require.Equal(t, tokenID, view["used_by"])
	require.Equal(t, "release 1.2", a.event(t, "approval_requested", id)["reason"])
	require.Equal(t, "people-bob", a.event(t, "approval_given", id)["decided_by"])
	require.Equal(t, tokenID, a.event(t, "approval_used", id)["token_id"])
	require.Equal(t, 200, a.root.Write("sys/leases/renew", map[string]any{"lease_id": got.LeaseID}).Status)

	for _, bad := range []map[string]any{{}, {"reason": " "}} {
		require.Equal(t, 400, a.alice.Write("ci/approvals/prod", bad).Status, "a reason is required")
	}
	require.Equal(t, 400, a.alice.Write("ci/approvals/build-dev", map[string]any{"reason": "x"}).Status, "it needs none")
	require.Equal(t, 404, a.alice.Write("ci/approvals/none", map[string]any{"reason": "x"}).Status)
}

func (a *approvals) differentPeople(t *testing.T) {
	a.role("two-eyes-more", map[string]any{"environment": "careful", "required_approvals": 2})
	id := a.ask(t, a.alice, "two-eyes-more", nil)
	a.approve(t, a.bob, "two-eyes-more", id, "pending")
	a.refused(t, decide(a.bob, "two-eyes-more", id, "approve"), "you have decided already; 2 different people")
	a.refused(t, read(a.alice, "two-eyes-more", id), "is still to be decided (2 needed)")
	a.approve(t, a.carol, "two-eyes-more", id, "approved")
	require.Equal(t, 200, read(a.alice, "two-eyes-more", id).Status)
}

func (a *approvals) unknown(t *testing.T) {
	session, err := a.CreateToken(t.Context(), api.TokenCreateRequest{Policies: []string{"people"}})
	require.NoError(t, err)
	nobody := a.As(session.Token)
	a.role("known", map[string]any{"environment": "careful"})
	a.refused(t, nobody.Write("ci/approvals/known", map[string]any{"reason": "x"}), "who asks is not known")
	id := a.ask(t, a.alice, "known", nil)
	a.refused(t, decide(nobody, "known", id, "approve"), "who decides is not known")
	a.refused(t, decide(a.root, "known", id, "approve"), "who decides is not known")

	a.role("known-job", map[string]any{"environment": "careful", "issuer": a.jobs.name})
	nameless := a.jobs.issuer.Mint(a.jobs.job.With(identitytest.Claims{"actor": nil}))
	a.refused(t, nobody.Write("ci/approvals/known-job", map[string]any{"reason": "x", "id_token": nameless}), "who asks is not known")
	a.ask(t, nobody, "known-job", map[string]any{"id_token": a.jobs.issuer.Mint(a.jobs.job)})
}

func (a *approvals) denied(t *testing.T) {
	a.role("deniable", map[string]any{"environment": "careful"})
	for _, before := range []string{"it is approved", "it was approved"} {
		id := a.ask(t, a.alice, "deniable", nil)
		if before == "it was approved" {
			a.approve(t, a.bob, "deniable", id, "approved")
		}
		answer := decide(a.carol, "deniable", id, "deny")
		require.Equal(t, 200, answer.Status, answer.Errors)
		require.Equal(t, "denied", answer.Data["status"])
		a.refused(t, read(a.alice, "deniable", id), "is denied")
		require.Equal(t, 409, decide(a.octocat, "deniable", id, "approve").Status, "it stays so")
		require.Equal(t, "people-carol", a.event(t, "approval_denied", id)["decided_by"])
	}
}

func (a *approvals) void(t *testing.T) {
	a.root.Must("ci/stages/ship", map[string]any{"github": "contents=read"})
	a.root.Must("ci/environments/changing", map[string]any{"required_approvals": 1})
	role := map[string]any{"environment": "changing", "stage": "ship", "issuer": a.jobs.name}
	a.role("changing", role)
	mint := func() string { return a.jobs.issuer.Mint(a.jobs.job) }
	approved := func() string {
		id := a.ask(t, a.alice, "changing", map[string]any{"id_token": mint()})
		a.approve(t, a.bob, "changing", id, "approved")
		return id
	}
	for _, change := range []struct {
		of   string
		path string
		data map[string]any
		back map[string]any
	}{
		{"the role", "ci/roles/changing", map[string]any{"repositories": []string{"web", "api"}}, map[string]any{"repositories": "web"}},
		{"the stage", "ci/stages/ship", map[string]any{"github": []string{"contents=read", "packages=read"}}, map[string]any{"github": "contents=read"}},
		{"the environment", "ci/environments/changing", map[string]any{"description": "another"}, map[string]any{"description": ""}},
		{"the config", "ci/config/github", map[string]any{"max_concurrency": 63}, map[string]any{"max_concurrency": 64}},
		{"the issuer", "ci/issuers/" + a.jobs.name, map[string]any{"audiences": []string{identitytest.Audience, "another"}}, map[string]any{"audiences": identitytest.Audience}},
	} {
		id := approved()
		require.NoError(t, a.root.Patch(change.path, change.data).Failure())
		answer := a.alice.Write("ci/creds/changing", map[string]any{"approval_id": id, "id_token": mint()})
		a.refused(t, answer, "is void: role, stage, environment, config or issuer changed since")
		require.Equal(t, "void", a.alice.Read("ci/approvals/changing/" + id).Data["status"], change.of)
		require.NoError(t, a.root.Patch(change.path, change.back).Failure())
		answer = a.alice.Write("ci/creds/changing", map[string]any{"approval_id": id, "id_token": mint()})
		a.refused(t, answer, "is void")
		require.Equal(t, "void", a.alice.Read("ci/approvals/changing/" + id).Data["status"], "%s is as it was", change.of)
	}
	id := approved()
	require.Equal(t, 204, a.root.Delete("ci/roles/changing").Status)
	require.Equal(t, "void", a.alice.Read("ci/approvals/changing/" + id).Data["status"], "the role is gone")
	a.role("changing", role)
	require.Equal(t, "void", a.alice.Read("ci/approvals/changing/" + id).Data["status"], "the role was made again")
	a.refused(t, a.alice.Write("ci/creds/changing", map[string]any{"approval_id": id, "id_token": mint()}), "is void")
}

func (a *approvals) destructive(t *testing.T) {
	a.root.Must("ci/stages/administer", map[string]any{"github": []string{"administration=write", "contents=read"}})
	a.root.Must("ci/environments/trusting", map[string]any{"destructive_approvals": 0})
	a.root.Must("ci/environments/wary", map[string]any{"destructive_approvals": 2})
	a.root.Must("ci/environments/strict", map[string]any{"required_approvals": 3})
	for environment, required := range map[string]int{"dev": 1, "trusting": 0, "wary": 2, "strict": 3} {
		role := "administer-" + environment
		a.role(role, map[string]any{"stage": "administer", "environment": environment, "permissions": []string{"administration=write"}})
		explained := a.alice.Write("ci/creds/"+role, nil)
		if required == 0 {
			require.Equal(t, 200, explained.Status, "nobody needs to approve")
			continue
		}
		a.refused(t, explained, fmt.Sprintf("approval: %d other(s) must approve", required))
		a.role(role+"-harmless", map[string]any{"stage": "administer", "environment": environment, "permissions": []string{"contents=read"}})
	}
	require.Equal(t, 200, a.alice.Read("ci/creds/administer-dev-harmless").Status)
}

func (a *approvals) race(t *testing.T) {
	a.role("contended", map[string]any{"environment": "careful"})
	id := a.ask(t, a.alice, "contended", nil)
	a.approve(t, a.bob, "contended", id, "approved")
	alice := a.alice.Caller
	answers := make([]world.Answer, 12)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			var err error
			if answers[i], err = alice.Write(t.Context(), "ci/creds/contended", map[string]any{"approval_id": id}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	issued := 0
	for _, answer := range answers {
		if answer.Status == 200 {
			issued++
			continue
		}
		a.refused(t, answer, "approval: ")
	}
	require.Equal(t, 1, issued)
}

func (a *approvals) renewal(t *testing.T) {
	a.role("tightened", nil)
	got := a.alice.Read("ci/creds/tightened")
	require.Equal(t, 200, got.Status, got.Errors)
	a.root.Must("ci/environments/dev", map[string]any{"required_approvals": 1})
	a.notRenewed(t, got.LeaseID, "renewal: approval: 1 other(s) must approve now, and 0 did")
	a.root.Must("ci/environments/dev", map[string]any{})
	require.Equal(t, 200, a.root.Write("sys/leases/renew", map[string]any{"lease_id": got.LeaseID}).Status)
	require.NoError(t, a.root.Patch("ci/roles/tightened", map[string]any{"bound_cidrs": "10.0.0.0/8"}).Failure())
	a.notRenewed(t, got.LeaseID, "caller_address: 127.0.0.1 is outside 10.0.0.0/8")
}

func (a *approvals) policies(t *testing.T) {
	a.role("guarded", map[string]any{"environment": "careful"})
	id := a.ask(t, a.alice, "guarded", nil)
	answer := decide(a.bob, "guarded", id, "approve")
	require.Equal(t, 403, answer.Status)
	require.Contains(t, answer.Failure().Error(), "permission denied", "Vault's own refusal, by the path")
	require.Equal(t, 200, decide(a.bob, "guarded", id, "deny").Status)
	listed := a.bob.List("ci/approvals/guarded")
	require.Equal(t, []any{id}, listed.Data["keys"])
}
