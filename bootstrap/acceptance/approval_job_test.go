// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
)

func (a *approvals) oneRun(t *testing.T) {
	a.role("run", map[string]any{"environment": "careful", "issuer": a.jobs.name})
	mint := func(claims identitytest.Claims) string { return a.jobs.issuer.Mint(a.jobs.job.With(claims)) }
	job := a.As(a.login(t, a.jobs, mint(nil)).Token)
	a.refused(t, job.Write("ci/approvals/run", map[string]any{"reason": "x"}), "write id_token")
	a.refused(t, job.Write("ci/approvals/run", map[string]any{"reason": "x", "id_token": mint(identitytest.Claims{"run_id": nil})}), "has no claim run_id")

	id := a.ask(t, job, "run", map[string]any{"id_token": mint(nil)})
	view := a.bob.Read("ci/approvals/run/" + id).Data
	require.Equal(t, "octocat", view["job_actor"])
	require.Equal(t, "6dcb09b5b57875f334f61aebed695e2e4193db5e", view["job_sha"])
	require.Equal(t, "octocat", a.event(t, "approval_requested", id)["job_actor"])
	a.refused(t, decide(a.octocat, "run", id, "approve"), "you (octocat) started the job that asks")
	a.approve(t, a.bob, "run", id, "approved")

	with := func(claims identitytest.Claims) world.Answer {
		return job.Write("ci/creds/run", map[string]any{"approval_id": id, "id_token": mint(claims)})
	}
	for _, other := range []identitytest.Claims{
		{"run_id": "1"}, {"sha": "0000000000000000000000000000000000000000"}, {"ref": "refs/heads/other"}, {"repository": "acme/api"},
	} {
		a.refused(t, with(other), "it is for another run, commit or ref")
	}
	a.refused(t, a.alice.Write("ci/creds/run", map[string]any{"approval_id": id, "id_token": mint(nil)}), "it was asked for by somebody else")
	a.refused(t, with(identitytest.Claims{"actor": "bob"}), "people-bob has approved it and (as bob) started the job that uses it")
	a.refused(t, with(identitytest.Claims{"actor": nil}), "does not name who started the job")
	got := with(identitytest.Claims{"run_attempt": "3"})
	require.Equal(t, 200, got.Status, got.Errors)
}

// otherAlias gives carol a second alias, in the auth mount where the platform's people
// log in.
func (a *approvals) otherAlias(t *testing.T) {
	accessor, err := a.EnableUserpass(t.Context(), "forge")
	require.NoError(t, err)
	a.root.Must("identity/entity-alias", map[string]any{"name": "carol-codes", "canonical_id": a.carolID, "mount_accessor": accessor})
	a.role("aliased", map[string]any{"environment": "careful", "issuer": a.jobs.name})
	mint := func(actor string) string {
		return a.jobs.issuer.Mint(a.jobs.job.With(identitytest.Claims{"actor": actor}))
	}
	id := a.ask(t, a.alice, "aliased", map[string]any{"id_token": mint("Carol-Codes")})
	a.refused(t, decide(a.carol, "aliased", id, "approve"), "you (Carol-Codes) started the job that asks")

	id = a.ask(t, a.alice, "aliased", map[string]any{"id_token": mint("octocat")})
	a.approve(t, a.carol, "aliased", id, "approved")
	use := func(actor string) world.Answer {
		return a.alice.Write("ci/creds/aliased", map[string]any{"approval_id": id, "id_token": mint(actor)})
	}
	for _, actor := range []string{"carol", "carol-codes"} {
		a.refused(t, use(actor), "people-carol has approved it and (as "+actor+") started the job that uses it")
	}
	got := use("octocat")
	require.Equal(t, 200, got.Status, got.Errors)
}
