// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// platform is a CI platform whose jobs prove themselves: its issuer feeds Vault's
// own JWT auth and the engine alike.
type platform struct {
	name   string
	issuer *identitytest.Issuer
	// job is a job of acme/web (or acme/shop/web) on the main branch.
	job identitytest.Claims
	// repository is the claim that says whose job it is.
	repository string
}

// jobPolicy is what every job may do: who gets what is for the engine to say.
const jobPolicy = `
path "ci/creds/*"     { capabilities = ["read", "update"] }
path "ci/explain/*"   { capabilities = ["read", "update"] }
path "ci/approvals/*" { capabilities = ["update", "read", "list"] }`

// trust writes an issuer for the engine and a JWT auth mount, both fed by discovery
// from the same place.
func (s *stand) trust(p platform) {
	s.t.Helper()
	s.root.Must("ci/issuers/"+p.name, map[string]any{
		"preset": p.name, "discovery_url": p.issuer.URL(), "audiences": identitytest.Audience, "config": "github",
	})
	s.logsInWith(p)
}

// logsInWith enables JWT auth for the platform's jobs.
func (s *stand) logsInWith(p platform) {
	s.t.Helper()
	_, err := s.EnableAuth(s.t.Context(), p.name, "jwt")
	require.NoError(s.t, err)
	s.root.Must("auth/"+p.name+"/config", map[string]any{"oidc_discovery_url": p.issuer.URL()})
	// One account for every job of a repository, as most people set it up: each
	// login overwrites what the one before has left in the alias's metadata.
	require.NoError(s.t, s.PutJWTRole(s.t.Context(), p.name, "ci", map[string]any{
		"user_claim": p.repository, "bound_audiences": []string{identitytest.Audience}, "token_policies": []string{"job"},
		"claim_mappings": map[string]string{"environment": "environment"},
	}))
}

// login logs a job in with its token.
func (s *stand) login(t testing.TB, p platform, token string) world.Session {
	t.Helper()
	session, err := s.LoginJWT(t.Context(), p.name, "ci", token)
	require.NoError(t, err)
	return session
}

// refused checks that a gate shut and said so: with a 403, in clear in the audit
// file, and not in the words that Vault Agent takes for its own login.
func (s *stand) refused(t testing.TB, answer world.Answer, gate string) {
	t.Helper()
	require.Equal(t, 403, answer.Status, "%s", answer.Body)
	said := strings.Join(answer.Errors, "\n")
	require.Contains(t, said, gate)
	require.NotContains(t, strings.ToLower(said), "invalid token")
	inClear := func(entry world.Entry) bool {
		return strings.Contains(entry.Error, answer.Errors[len(answer.Errors)-1])
	}
	require.NotEmpty(t, s.Audit().Responses().Where(inClear), "in the audit file")
}

// notRenewed checks that a lease does not renew, and why. Vault makes a 400 of it.
func (s *stand) notRenewed(t testing.TB, lease, gate string) {
	t.Helper()
	answer := s.root.Write("sys/leases/renew", map[string]any{"lease_id": lease})
	require.Equal(t, 400, answer.Status)
	require.ErrorContains(t, answer.Failure(), gate)
}

func TestIdentity(t *testing.T) {
	s := newStand(t, world.Options{}, githubtest.Options{})
	s.Policy("job", jobPolicy)
	github := platform{"github-actions", identitytest.New(t, identitytest.Options{Path: identitytest.GitHubPath}), identitytest.GitHub(), "repository"}
	gitlab := platform{"gitlab", identitytest.New(t, identitytest.Options{Path: identitytest.GitLabPath}), identitytest.GitLab(), "project_path"}
	s.root.Must("ci/environments/live", map[string]any{"require_identity": true})
	for _, p := range []platform{github, gitlab} {
		s.trust(p)
	}
	t.Run("what does not prove the job is refused", func(t *testing.T) { s.refusals(t, github, gitlab) })
	t.Run("one id_token, one credential", func(t *testing.T) { s.singleUse(t, github) })
	t.Run("each job its own repository", func(t *testing.T) { s.ownRepository(t, github) })
	t.Run("the job is on the record", func(t *testing.T) { s.onRecord(t, github, gitlab) })
	t.Run("explain makes nothing", func(t *testing.T) { s.explains(t, github) })
	t.Run("an environment that requires identity", func(t *testing.T) { s.requiresIdentity(t, github) })
	// Last: it makes the audit file long, which the others search.
	for _, p := range []platform{github, gitlab} {
		t.Run("jobs of one account race, as "+p.name, func(t *testing.T) { s.race(t, p) })
	}
}

// race has two jobs of the same account, one for dev and one for prod, ask for the
// credentials of both at once, a hundred times.
func (s *stand) race(t *testing.T, p platform) {
	const rounds = 100
	jobs := map[string]identitytest.Claims{}
	for _, environment := range []string{"dev", "prod"} {
		jobs[environment] = p.job.With(identitytest.Claims{"environment": environment})
		s.role(p.name+"-"+environment, map[string]any{
			"issuer": p.name, "bound_claims": []string{"environment=" + environment, "ref_protected=true"}, "environment": "live",
		})
	}
	got, entities := sync.Map{}, sync.Map{}
	for round := range rounds {
		var jobsDone sync.WaitGroup
		for own, claims := range jobs {
			jobsDone.Go(func() {
				token := p.issuer.Mint(claims)
				session, err := s.LoginJWT(t.Context(), p.name, "ci", token)
				if err != nil {
					t.Error(err)
					return
				}
				entities.Store(session.EntityID, true)
				var asks sync.WaitGroup
				for _, wanted := range []string{"dev", "prod"} {
					asks.Go(func() {
						answer, err := s.Vault.Vault.As(session.Token).Write(t.Context(), "ci/creds/"+p.name+"-"+wanted, map[string]any{"id_token": token})
						switch {
						case err != nil:
							t.Error(err)
						case wanted == own && answer.Status == 200:
							got.Store(answer.Data["token"], fmt.Sprintf("%s-%d", own, round))
						case wanted != own && answer.Status == 403 && strings.Contains(answer.Failure().Error(), "claim environment is"):
						default:
							t.Errorf("the job of %s, asking for %s: %d %v", own, wanted, answer.Status, answer.Errors)
						}
					})
				}
				asks.Wait()
			})
		}
		jobsDone.Wait()
	}
	require.Equal(t, 2*rounds, count(&got), "a token of its own for each job, each time")
	require.Equal(t, 1, count(&entities), "to Vault they all were the same")
}

func count(m *sync.Map) int {
	n := 0
	m.Range(func(any, any) bool { n++; return true })
	return n
}

// refusals tries what does not prove the job.
func (s *stand) refusals(t *testing.T, github, gitlab platform) {
	s.role("release", map[string]any{
		"issuer": github.name, "environment": "live",
		"bound_claims": []string{"repository=acme/web", "ref=refs/heads/main", "ref=refs/tags/v*"},
	})
	s.role("release-gitlab", map[string]any{
		"issuer": gitlab.name, "environment": "live", "bound_claims": []string{"project_path=acme/shop/*", "ref_type=tag", "ref=v*"},
	})
	stranger := identitytest.New(t, identitytest.Options{Path: identitytest.GitHubPath})
	now := time.Now()
	job := s.As(s.login(t, github, github.issuer.Mint(github.job)).Token)
	ask := func(role, token string) world.Answer {
		return job.Write("ci/creds/"+role, map[string]any{"id_token": token})
	}
	for _, good := range []identitytest.Claims{{}, {"ref": "refs/tags/v1.2"}} {
		require.Equal(t, 200, ask("release", github.issuer.Mint(github.job.With(good))).Status)
	}
	require.Equal(t, 200, ask("release-gitlab", gitlab.issuer.Mint(gitlab.job.With(identitytest.Claims{"ref": "v1.2", "ref_type": "tag"}))).Status)

	made := len(s.github.Tokens())
	for _, bad := range []struct {
		what  string
		role  string
		token string
		gate  string
	}{
		{"no token", "release", "", "identity: "},
		{"another audience", "release", github.issuer.Mint(github.job.With(identitytest.Claims{"aud": "https://github.com/acme"})), "identity: wrong audience"},
		{"another issuer's", "release", stranger.Mint(github.job), "identity: wrong issuer"},
		{"GitLab's where GitHub's is asked", "release", gitlab.issuer.Mint(github.job), "identity: wrong issuer"},
		{"another issuer's, in the name of ours", "release", stranger.Mint(github.job.With(identitytest.Claims{"iss": github.issuer.URL()})), "key"},
		{"ended", "release", github.issuer.Mint(github.job.With(identitytest.Claims{"exp": now.Add(-2 * time.Minute).Unix()})), "identity: expired"},
		{"not begun", "release", github.issuer.Mint(github.job.With(identitytest.Claims{"nbf": now.Add(time.Hour).Unix()})), "identity: not yet valid"},
		{"a fork", "release", github.issuer.Mint(github.job.With(identitytest.Claims{"repository": "mallory/web"})), "bound_claims of role release: claim repository"},
		{"a repository whose name goes on", "release", github.issuer.Mint(github.job.With(identitytest.Claims{"repository": "acme/web-evil"})), "bound_claims of role release: claim repository"},
		{"a branch whose name goes on", "release", github.issuer.Mint(github.job.With(identitytest.Claims{"ref": "refs/heads/main-evil"})), "bound_claims of role release: claim ref"},
		{"a branch named like a tag", "release", github.issuer.Mint(github.job.With(identitytest.Claims{"ref": "refs/heads/v1.2"})), "bound_claims of role release: claim ref"},
		{"a branch named like a tag in full", "release", github.issuer.Mint(github.job.With(identitytest.Claims{"ref": "refs/heads/refs/tags/v1.2"})), "bound_claims of role release: claim ref"},
		{"a branch named like Vault Agent's fear", "release", github.issuer.Mint(github.job.With(identitytest.Claims{"ref": "an invalid token"})), "bound_claims of role release: claim ref"},
		{"no ref", "release", github.issuer.Mint(github.job.With(identitytest.Claims{"ref": nil})), "claim ref is missing"},
		{"a list of refs", "release", github.issuer.Mint(github.job.With(identitytest.Claims{"ref": []string{"refs/heads/main"}})), "claim ref is a list"},
		{"GitLab's branch named like a tag", "release-gitlab", gitlab.issuer.Mint(gitlab.job.With(identitytest.Claims{"ref": "v1.2"})), "bound_claims of role release-gitlab: claim ref_type"},
		{"GitLab's fork", "release-gitlab", gitlab.issuer.Mint(gitlab.job.With(identitytest.Claims{"project_path": "mallory/web", "ref": "v1.2", "ref_type": "tag"})), "bound_claims of role release-gitlab: claim project_path"},
	} {
		t.Run(bad.what, func(t *testing.T) { s.refused(t, ask(bad.role, bad.token), bad.gate) })
	}
	for _, p := range []struct {
		platform
		role string
	}{{github, "release"}, {gitlab, "release-gitlab"}} {
		for _, forgery := range p.issuer.Forgeries(p.job) {
			t.Run(p.name+" forged: "+forgery.Name, func(t *testing.T) {
				s.refused(t, ask(p.role, forgery.Token), forgery.Gate)
			})
		}
	}
	require.Len(t, s.github.Tokens(), made, "none of them had a token made")
}

// singleUse shows one token to a single_use role many times at once, then again.
func (s *stand) singleUse(t *testing.T, p platform) {
	s.role("once", map[string]any{"issuer": p.name, "single_use": true, "bound_claims": []string{"repository=acme/web"}})
	token := p.issuer.Mint(p.job)
	job := s.login(t, p, token).Token
	answers := make([]world.Answer, 12)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			var err error
			if answers[i], err = s.Vault.Vault.As(job).Write(t.Context(), "ci/creds/once", map[string]any{"id_token": token}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	var issued []world.Answer
	for _, answer := range answers {
		if answer.Status == 200 {
			issued = append(issued, answer)
			continue
		}
		s.refused(t, answer, "single_use: ")
	}
	require.Len(t, issued, 1)
	again := s.As(job).Write("ci/creds/once", map[string]any{"id_token": token})
	s.refused(t, again, "single_use: this id_token has had its credential")
	require.Equal(t, 200, s.root.Write("sys/leases/renew", map[string]any{"lease_id": issued[0].LeaseID}).Status, "its lease renews all the same")
	require.Equal(t, 200, s.As(job).Write("ci/creds/once", map[string]any{"id_token": p.issuer.Mint(p.job)}).Status, "the job's next token")
}
