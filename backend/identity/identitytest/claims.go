// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identitytest

import (
	"fmt"
	"maps"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Lifetime is how long a token is good that names no exp.
const Lifetime = 5 * time.Minute

// Claims are a token's claims. A nil value takes a claim out.
type Claims map[string]any

// With is a copy in which the other claims are replaced.
func (c Claims) With(other Claims) Claims {
	all := Claims{}
	maps.Copy(all, c)
	maps.Copy(all, other)
	return all
}

// GitHub are the claims of a job of GitHub Actions: a push to main of acme/web.
func GitHub() Claims {
	return Claims{
		"sub":                   "repo:acme/web:ref:refs/heads/main",
		"repository":            "acme/web",
		"repository_id":         "1296269",
		"repository_owner":      "acme",
		"repository_owner_id":   "65",
		"repository_visibility": "private",
		"ref":                   "refs/heads/main",
		"ref_type":              "branch",
		"ref_protected":         "true",
		"sha":                   "6dcb09b5b57875f334f61aebed695e2e4193db5e",
		"head_ref":              "",
		"base_ref":              "",
		"event_name":            "push",
		"actor":                 "octocat",
		"actor_id":              "12",
		"workflow":              "deploy",
		"workflow_ref":          "acme/web/.github/workflows/deploy.yml@refs/heads/main",
		"workflow_sha":          "6dcb09b5b57875f334f61aebed695e2e4193db5e",
		"job_workflow_ref":      "acme/web/.github/workflows/deploy.yml@refs/heads/main",
		"run_id":                "10283746151",
		"run_number":            "10",
		"run_attempt":           "2",
		"runner_environment":    "github-hosted",
	}
}

// GitLab are the claims of a job of GitLab CI/CD: a push to main of acme/shop/web.
func GitLab() Claims {
	return Claims{
		"sub":                   "project_path:acme/shop/web:ref_type:branch:ref:main",
		"namespace_id":          "72",
		"namespace_path":        "acme/shop",
		"project_id":            "20",
		"project_path":          "acme/shop/web",
		"user_id":               "1",
		"user_login":            "sample",
		"user_email":            "sample@example.com",
		"pipeline_id":           "574",
		"pipeline_source":       "push",
		"job_id":                "302",
		"ref":                   "main",
		"ref_type":              "branch",
		"ref_path":              "refs/heads/main",
		"ref_protected":         "true",
		"environment":           "production",
		"environment_protected": "true",
		"deployment_tier":       "production",
		"runner_id":             1,
		"runner_environment":    "self-hosted",
		"sha":                   "714a629c0b401fdce83e847fc9589983fc6f46bc",
		"project_visibility":    "private",
		"ci_config_ref_uri":     "gitlab.example.com/acme/shop/web//.gitlab-ci.yml@refs/heads/main",
		"ci_config_sha":         "714a629c0b401fdce83e847fc9589983fc6f46bc",
	}
}

// Forgejo are the claims of a job of Forgejo Actions: a push to main of acme/web.
func Forgejo() Claims {
	return Claims{
		"sub":                 "repo:acme/web:ref:refs/heads/main",
		"repository":          "acme/web",
		"repository_id":       "17",
		"repository_owner":    "acme",
		"repository_owner_id": "5",
		"ref":                 "refs/heads/main",
		"ref_type":            "branch",
		"ref_protected":       "true",
		"sha":                 "0c5b3d8c84f2fd4f3bc5d5a1e0f6b0a4c6b7f2de",
		"event_name":          "push",
		"actor":               "ada",
		"actor_id":            "3",
		"workflow":            "deploy.yml",
		"workflow_ref":        "acme/web/.forgejo/workflows/deploy.yml@refs/heads/main",
		"run_id":              "41",
		"run_number":          "7",
		"run_attempt":         "1",
	}
}

// Mint signs a token. Claims that each token has (iss, aud, iat, nbf, exp, jti) are
// added where they are not given.
func (i *Issuer) Mint(claims Claims) string {
	i.t.Helper()
	i.mu.Lock()
	signing := i.signing
	i.mu.Unlock()
	return signing.sign(i.t, mustMarshal(i.t, i.complete(claims)), nil)
}

// MintRaw signs any payload, with any headers beside the usual ones.
func (i *Issuer) MintRaw(payload []byte, headers map[jose.HeaderKey]any) string {
	i.t.Helper()
	i.mu.Lock()
	signing := i.signing
	i.mu.Unlock()
	return signing.sign(i.t, payload, headers)
}

// complete adds what each token has, and drops what is nil.
func (i *Issuer) complete(claims Claims) Claims {
	i.mu.Lock()
	i.minted++
	number := i.minted
	i.mu.Unlock()
	now := i.options.Now()
	all := Claims{
		"iss": i.URL(),
		"aud": Audience,
		"iat": now.Unix(),
		"nbf": now.Add(-5 * time.Second).Unix(),
		"exp": now.Add(Lifetime).Unix(),
		"jti": fmt.Sprintf("%s-%d", i.server.Listener.Addr(), number),
	}.With(claims)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	return all
}
