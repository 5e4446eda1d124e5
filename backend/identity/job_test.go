// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func TestJob(t *testing.T) {
	for _, test := range []struct {
		preset string
		claims identitytest.Claims
		want   identity.Job
	}{
		{identity.GitHubActions, identitytest.GitHub().With(identitytest.Claims{"environment": "prod"}), identity.Job{
			Repository: "acme/web", Ref: "refs/heads/main", SHA: "6dcb09b5b57875f334f61aebed695e2e4193db5e", Environment: "prod",
			Workflow: "acme/web/.github/workflows/deploy.yml@refs/heads/main", Run: "10283746151", Actor: "octocat", Runner: "github-hosted",
		}},
		{identity.GitLab, identitytest.GitLab(), identity.Job{
			Repository: "acme/shop/web", Ref: "main", SHA: "714a629c0b401fdce83e847fc9589983fc6f46bc", Environment: "production",
			Workflow: "gitlab.example.com/acme/shop/web//.gitlab-ci.yml@refs/heads/main", Run: "574/302", Actor: "sample", Runner: "1/self-hosted",
		}},
		{identity.Forgejo, identitytest.Forgejo(), identity.Job{
			Repository: "acme/web", Ref: "refs/heads/main", SHA: "0c5b3d8c84f2fd4f3bc5d5a1e0f6b0a4c6b7f2de",
			Workflow: "acme/web/.forgejo/workflows/deploy.yml@refs/heads/main", Run: "41", Actor: "ada",
		}},
		{"", identitytest.Claims{"repository": "acme/web", "ref": []string{"main"}, "run_id": 7}, identity.Job{Repository: "acme/web", Run: "7"}},
	} {
		who := identity.Identity{Preset: test.preset, Claims: claimsOf(t, test.claims)}
		require.Equal(t, test.want, who.Job(), test.preset)
	}
}

func TestAnApprovalIsForOneRun(t *testing.T) {
	run := func(preset string, claims identitytest.Claims) identity.Run {
		t.Helper()
		who := identity.Identity{Preset: preset, Issuer: "https://issuer.example.com", Claims: claimsOf(t, claims)}
		run, err := who.Run()
		require.NoError(t, err)
		return run
	}
	github, gitlab := identitytest.GitHub(), identitytest.GitLab()
	asked := run(identity.GitHubActions, github)
	require.Equal(t, asked, run(identity.GitHubActions, github.With(identitytest.Claims{"run_attempt": "3"})), "a second attempt")
	require.NotEqual(t, asked, run(identity.GitHubActions, github.With(identitytest.Claims{"run_id": "1"})))
	require.NotEqual(t, asked, run(identity.GitHubActions, github.With(identitytest.Claims{"sha": "0"})))
	require.NotEqual(t, asked, run(identity.GitHubActions, github.With(identitytest.Claims{"ref": "refs/heads/evil"})))
	require.NotEqual(t, asked, run(identity.GitHubActions, github.With(identitytest.Claims{"repository": "acme/api"})))

	asked = run(identity.GitLab, gitlab)
	require.Equal(t, asked, run(identity.GitLab, gitlab.With(identitytest.Claims{"job_id": "303"})), "another job of the pipeline")
	require.NotEqual(t, asked, run(identity.GitLab, gitlab.With(identitytest.Claims{"pipeline_id": "575"})))
}

func TestNoApprovalWithoutARun(t *testing.T) {
	for preset, claims := range map[string]identitytest.Claims{
		identity.GitHubActions: identitytest.GitHub(), identity.GitLab: identitytest.GitLab(), identity.Forgejo: identitytest.Forgejo(),
	} {
		missing := map[string][]string{
			identity.GitHubActions: {"repository", "run_id", "sha", "ref"},
			identity.GitLab:        {"project_path", "pipeline_id", "sha", "ref"},
			identity.Forgejo:       {"repository", "run_id", "sha", "ref"},
		}[preset]
		for _, claim := range missing {
			for _, value := range []any{nil, "", []string{"x"}} {
				who := identity.Identity{Preset: preset, Claims: claimsOf(t, claims.With(identitytest.Claims{claim: value}))}
				_, err := who.Run()
				requireFault(t, err, fault.Denied, "has no claim "+claim)
			}
		}
	}
}
