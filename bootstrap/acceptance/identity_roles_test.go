// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
)

// ownRepository has jobs of several repositories use one role.
func (s *stand) ownRepository(t *testing.T, p platform) {
	s.role("own", map[string]any{"issuer": p.name, "repositories": []string{"{{claims.repository}}"}})
	for _, repository := range []string{"acme/web", "acme/api"} {
		token := p.issuer.Mint(p.job.With(identitytest.Claims{"repository": repository}))
		job := s.As(s.login(t, p, token).Token)
		got := job.Write("ci/creds/own", map[string]any{"id_token": token})
		require.Equal(t, 200, got.Status, got.Errors)
		require.Equal(t, []any{repository}, got.Data["repositories"])
		require.Equal(t, 200, job.Write("ci/creds/own/"+repository, map[string]any{"id_token": token}).Status, "its own, in the path")
		for _, another := range []string{"acme/svc-a", "svc-a", "mallory/web"} {
			s.refused(t, job.Write("ci/creds/own/"+another, map[string]any{"id_token": token}), `repositories: "`+another+`" is beyond role`)
		}
	}
	odd := p.issuer.Mint(p.job.With(identitytest.Claims{"repository": "acme/*"}))
	s.refused(t, s.root.Write("ci/creds/own", map[string]any{"id_token": odd}), "is not a repository's full name")
	for claim, why := range map[string]string{
		"repository_owner": "only in {{claims.repository}}",
		"ref":              "only in {{claims.repository}}",
	} {
		refused := s.root.Write("ci/roles/any", map[string]any{
			"config": "github", "stage": "build", "environment": "dev", "owner": "team-web", "purpose": "x",
			"repositories": []string{"{{claims." + claim + "}}"}, "permissions": []string{"contents=read"}, "issuer": p.name,
		})
		require.Equal(t, 400, refused.Status)
		require.Contains(t, refused.Failure().Error(), why)
	}

	// The issuer comes to speak for another platform's repositories.
	moved := map[string]any{"preset": p.name, "discovery_url": p.issuer.URL(), "audiences": identitytest.Audience, "config": "github"}
	s.root.Must("ci/issuers/moved", moved)
	s.role("moving", map[string]any{"issuer": "moved", "repositories": []string{"{{claims.repository}}"}})
	ask := func() world.Answer {
		return s.root.Write("ci/creds/moving", map[string]any{"id_token": p.issuer.Mint(p.job)})
	}
	got := ask()
	require.Equal(t, 200, got.Status, got.Errors)
	require.Equal(t, 200, s.root.Write("sys/leases/renew", map[string]any{"lease_id": got.LeaseID}).Status)
	moved["config"] = "elsewhere"
	s.root.Must("ci/issuers/moved", moved)
	s.refused(t, ask(), `names repositories of config "elsewhere"`)
	s.notRenewed(t, got.LeaseID, `names repositories of config "elsewhere"`)
}

// onRecord looks the job up in the token record, the events and the report.
func (s *stand) onRecord(t *testing.T, github, gitlab platform) {
	for _, of := range []struct {
		platform
		role string
		want map[string]any
	}{
		{github, "seen-github", map[string]any{
			"job_repository": "acme/web", "job_ref": "refs/heads/main", "job_sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
			"job_environment": "prod", "job_workflow": "acme/web/.github/workflows/deploy.yml@refs/heads/main",
			"job_run": "10283746151", "job_actor": "octocat", "job_runner": "github-hosted",
		}},
		{gitlab, "seen-gitlab", map[string]any{
			"job_repository": "acme/shop/web", "job_ref": "main", "job_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
			"job_environment": "prod", "job_workflow": "gitlab.example.com/acme/shop/web//.gitlab-ci.yml@refs/heads/main",
			"job_run": "574/302", "job_actor": "sample", "job_runner": "1/self-hosted",
		}},
	} {
		s.role(of.role, map[string]any{"issuer": of.name, "bound_claims": []string{of.repository + "=acme/**"}})
		token := of.issuer.Mint(of.job.With(identitytest.Claims{"environment": "prod"}))
		got := s.As(s.login(t, of.platform, token).Token).Write("ci/creds/"+of.role, map[string]any{"id_token": token})
		require.Equal(t, 200, got.Status, got.Errors)

		record := s.root.Read("ci/tokens/" + got.Data["token_id"].(string)).Data
		require.Subset(t, record, of.want)
		event := s.event(t, "issued", got.Data["token_id"].(string))
		require.Subset(t, event, of.want)
		line := s.reported(t, of.role)
		for fact, value := range of.want {
			require.Equal(t, value, line["last_"+fact])
		}
		s.NoSecrets(token, got.Data["token"].(string))
	}
}

// explains asks about a role with and without a token that passes.
func (s *stand) explains(t *testing.T, p platform) {
	s.role("asked-about", map[string]any{"issuer": p.name, "single_use": true, "bound_claims": []string{"repository=acme/web", "ref=refs/heads/main"}})
	made := len(s.github.Tokens())
	good := p.issuer.Mint(p.job)
	for range 2 {
		answer := s.root.Write("ci/explain/asked-about", map[string]any{"id_token": good})
		require.Equal(t, 200, answer.Status, answer.Errors)
		require.Equal(t, true, answer.Data["allowed"], answer.Data["gates"])
		require.Empty(t, answer.Data["shut"])
		require.Equal(t, []any{"web"}, answer.Data["repositories"])
	}
	evil := s.root.Write("ci/explain/asked-about", map[string]any{"id_token": p.issuer.Mint(p.job.With(identitytest.Claims{"ref": "refs/heads/main-evil"}))})
	require.Equal(t, false, evil.Data["allowed"])
	require.Equal(t, []any{"identity", "single_use"}, evil.Data["shut"])
	require.Contains(t, fmt.Sprint(evil.Data["gates"]), `claim ref is "refs/heads/main-evil"; allowed: "refs/heads/main"`)
	require.Contains(t, evil.Data["gates"], "stage: open")
	require.Len(t, s.github.Tokens(), made)
	require.Equal(t, 200, s.root.Write("ci/creds/asked-about", map[string]any{"id_token": good}).Status, "explain has not used it up")
	require.NotContains(t, s.root.Write("ci/explain/asked-about", map[string]any{"id_token": good}).Data["shut"], "identity")
}

// requiresIdentity: whoever comes to need an issuer is told when it is written, and
// whatever gets past that is refused when it is read.
func (s *stand) requiresIdentity(t *testing.T, p platform) {
	role := func(changes map[string]any) map[string]any {
		all := map[string]any{
			"config": "github", "stage": "build", "environment": "live", "owner": "team-web", "purpose": "x",
			"repositories": []string{"web"}, "permissions": []string{"contents=read"},
		}
		for field, value := range changes {
			all[field] = value
		}
		return all
	}
	rejects := func(path string, data map[string]any, words string) {
		t.Helper()
		answer := s.root.Write(path, data)
		require.Equal(t, 400, answer.Status, "%s", answer.Body)
		require.Contains(t, answer.Failure().Error(), words)
	}
	rejects("ci/roles/bare", role(nil), "requires the job's own identity")
	rejects("ci/roles/bare", role(map[string]any{"environment": "dev", "bound_claims": "ref=refs/heads/main"}), "issuer: is required: bound_claims")
	rejects("ci/roles/bare", role(map[string]any{"environment": "dev", "single_use": true}), "single_use")
	rejects("ci/environments/dev", map[string]any{"require_identity": true}, "build-dev")
	rejects("ci/environments/dev", map[string]any{"bound_claims": "repository=acme/*"}, "build-dev")
	rejects("ci/environments/dev", map[string]any{"production": true}, "build-dev")
	rejects("ci/environments/prod", map[string]any{"production": true, "require_identity": false}, "require_identity")
	rejects("ci/environments/prod", map[string]any{"production": true, "required_approvals": 0}, "required_approvals")

	// Everybody has an account at github.com, and asks it for any audience.
	s.root.Must("ci/issuers/public", map[string]any{"preset": "github-actions", "audiences": identitytest.Audience, "verify": false})
	rejects("ci/roles/bare", role(map[string]any{"issuer": "public"}), "vouches for anybody's jobs")
	rejects("ci/roles/bare", role(map[string]any{"issuer": "public", "bound_claims": "ref=refs/heads/main"}), "vouches for anybody's jobs")
	rejects("ci/roles/bare", role(map[string]any{"issuer": "public", "bound_claims": "repository=acme*"}), "vouches for anybody's jobs")
	s.root.Must("ci/roles/bare", role(map[string]any{"issuer": "public", "bound_claims": "repository_owner=acme"}))

	// Its environment may say whose jobs come, and may be loosened later on. The keys
	// are ours here; the issuer is still the one that serves everybody.
	s.root.Must("ci/issuers/everybody", map[string]any{
		"preset": "github-actions", "public_keys": p.issuer.PublicKey(), "audiences": identitytest.Audience,
	})
	s.root.Must("ci/environments/shared", map[string]any{"bound_claims": "repository=acme/*"})
	s.role("leaning", map[string]any{"issuer": "everybody", "environment": "shared"})
	public := p.job.With(identitytest.Claims{"iss": "https://token.actions.githubusercontent.com"})
	stranger := public.With(identitytest.Claims{"repository": "mallory/web"})
	ask := func(claims identitytest.Claims) world.Answer {
		return s.root.Write("ci/creds/leaning", map[string]any{"id_token": p.issuer.Mint(claims)})
	}
	s.refused(t, ask(stranger), "bound_claims of environment shared: claim repository")
	got := ask(public)
	require.Equal(t, 200, got.Status, got.Errors)
	s.root.Must("ci/environments/shared", map[string]any{"bound_claims": "ref=refs/heads/*"})
	s.refused(t, ask(public), "vouches for anybody's jobs")
	s.notRenewed(t, got.LeaseID, "renewal: identity: bound_claims of environment shared: claim ref is missing")
}
