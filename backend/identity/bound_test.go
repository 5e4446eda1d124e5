// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func TestBoundClaims(t *testing.T) {
	main := identitytest.GitHub()
	for _, test := range []struct {
		name  string
		bound []string
		job   identitytest.Claims
		pass  bool
	}{
		{"nothing is asked", nil, main, true},
		{"the repository", []string{"repository=acme/web"}, main, true},
		{"any of the owner's", []string{"repository=acme/*"}, main, true},
		{"a fork", []string{"repository=acme/web"}, main.With(identitytest.Claims{"repository": "mallory/web"}), false},
		{"a fork, by the owner", []string{"repository_owner=acme"}, main.With(identitytest.Claims{"repository_owner": "mallory"}), false},
		{"a repository whose name goes on", []string{"repository=acme/web"}, main.With(identitytest.Claims{"repository": "acme/web-evil"}), false},
		{"an owner whose name goes on", []string{"repository=acme/*"}, main.With(identitytest.Claims{"repository": "acme-evil/web"}), false},
		{"an owner whose name ends so", []string{"repository=acme/*"}, main.With(identitytest.Claims{"repository": "evil-acme/web"}), false},
		{"another case", []string{"repository=acme/web"}, main.With(identitytest.Claims{"repository": "Acme/Web"}), false},

		{"the branch", []string{"ref=refs/heads/main"}, main, true},
		{"a branch that goes on", []string{"ref=refs/heads/main"}, main.With(identitytest.Claims{"ref": "refs/heads/main-evil"}), false},
		{"a branch below", []string{"ref=refs/heads/main"}, main.With(identitytest.Claims{"ref": "refs/heads/main/evil"}), false},
		{"a branch above", []string{"ref=refs/heads/main"}, main.With(identitytest.Claims{"ref": "refs/heads/evil/refs/heads/main"}), false},
		{"a branch with a line break", []string{"ref=refs/heads/main"}, main.With(identitytest.Claims{"ref": "refs/heads/main\n"}), false},
		{"a second line that would pass", []string{"ref=refs/heads/main"}, main.With(identitytest.Claims{"ref": "evil\nrefs/heads/main"}), false},
		{"a tag", []string{"ref=refs/tags/v*"}, main.With(identitytest.Claims{"ref": "refs/tags/v1.2"}), true},
		{"a branch named like a tag", []string{"ref=refs/tags/v*"}, main.With(identitytest.Claims{"ref": "refs/heads/v1.2"}), false},
		{"a branch named like a tag, in full", []string{"ref=refs/tags/v*"}, main.With(identitytest.Claims{"ref": "refs/heads/refs/tags/v1.2"}), false},
		{"GitLab's branch named like a tag", []string{"ref=v*", "ref_type=tag"}, identitytest.GitLab().With(identitytest.Claims{"ref": "v1.2"}), false},
		{"one star stops at a slash", []string{"ref=refs/heads/release/*"}, main.With(identitytest.Claims{"ref": "refs/heads/release/1/evil"}), false},
		{"two cross it", []string{"ref=refs/heads/release/**"}, main.With(identitytest.Claims{"ref": "refs/heads/release/1/2"}), true},
		{"three are as good as two", []string{"ref=refs/***"}, main, true},
		{"a star is also nothing", []string{"ref=refs/heads/main*"}, main, true},
		{"a workflow", []string{"job_workflow_ref=acme/web/.github/workflows/*@refs/heads/main"}, main, true},
		{"a dot is a dot", []string{"job_workflow_ref=acme/web/xgithub/workflows/deploy.yml@refs/heads/main"}, main, false},

		{"different claims and", []string{"repository=acme/web", "ref=refs/heads/main"}, main, true},
		{"different claims and, one fails", []string{"repository=acme/web", "ref=refs/heads/prod"}, main, false},
		{"the same claim or", []string{"ref=refs/heads/prod", "ref=refs/heads/main"}, main, true},
		{"the same claim or, apart", []string{"ref=refs/heads/prod", "repository=acme/web", "ref=refs/heads/main"}, main, true},
		{"or does not help the other claim", []string{"ref=refs/heads/*", "ref=**", "repository=acme/api"}, main, false},

		{"a missing claim", []string{"environment=prod"}, main, false},
		{"a missing claim, anything", []string{"environment=**"}, main, false},
		{"a missing claim, nothing", []string{"environment="}, main, false},
		{"an empty claim", []string{"base_ref="}, main, true},
		{"an empty claim, something", []string{"base_ref=main"}, main, false},
		{"null", []string{"environment=**"}, main.With(identitytest.Claims{"environment": nil}), false},
		{"null is no word", []string{"environment=null"}, main.With(identitytest.Claims{"environment": nil}), false},
		{"a list", []string{"groups=**"}, identitytest.Claims{"groups": []string{"admins"}}, false},
		{"a list of one as JSON", []string{`groups=["admins"]`}, identitytest.Claims{"groups": []string{"admins"}}, false},
		{"an object", []string{"act=**"}, identitytest.Claims{"act": map[string]any{"sub": "x"}}, false},
		{"a number", []string{"runner_id=1"}, identitytest.GitLab(), true},
		{"another number", []string{"runner_id=1"}, identitytest.GitLab().With(identitytest.Claims{"runner_id": 11}), false},
		{"a boolean", []string{"protected=true"}, identitytest.Claims{"protected": true}, true},
		{"a boolean that is a string", []string{"ref_protected=true"}, main, true},
		{"false", []string{"protected=true"}, identitytest.Claims{"protected": false}, false},
		{"another spelling of the name", []string{"Repository=acme/web"}, main, false},
		{"an equals sign in the pattern", []string{"sub=a=b"}, identitytest.Claims{"sub": "a=b"}, true},
		{"letters beyond ASCII", []string{"environment=prod-ü*"}, identitytest.Claims{"environment": "prod-üß"}, true},
		{"the same letter composed otherwise", []string{"environment=ü"}, identitytest.Claims{"environment": "u\u0308"}, false},
		{"a long s is no s", []string{"environment=s"}, identitytest.Claims{"environment": "ſ"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			ok, why := bound(t, test.bound...).Match(claimsOf(t, test.job))
			require.Equal(t, test.pass, ok, why)
			require.Equal(t, test.pass, why == "", why)
			require.Equal(t, len(test.bound) == 0, bound(t, test.bound...).Empty())
		})
	}
}

func TestMetacharactersAreThemselves(t *testing.T) {
	for _, char := range strings.Split(`. + ? ( ) [ ] { } | ^ $ \ \d \z \E a|b (?i) [a-z]`, " ") {
		b := bound(t, "x=1"+char+"2")
		ok, why := b.Match(claimsOf(t, map[string]string{"x": "1" + char + "2"}))
		require.True(t, ok, why)
		ok, _ = b.Match(claimsOf(t, map[string]string{"x": "1z2"}))
		require.False(t, ok, char)
	}
}

func TestMatchSaysWhy(t *testing.T) {
	_, why := bound(t, "repository=acme/web", "environment=prod", "environment=live", "ref=refs/heads/main").
		Match(claimsOf(t, map[string]any{"repository": "mallory/web", "ref": "refs/heads/main"}))
	require.Equal(t, `claim repository is "mallory/web"; allowed: "acme/web"; claim environment is missing; allowed: "prod", "live"`, why)

	_, why = bound(t, "a=x", "b=x").Match(claimsOf(t, map[string]any{"a": nil, "b": []int{1}}))
	require.Equal(t, `claim a is null; allowed: "x"; claim b is a list or an object, which never matches; allowed: "x"`, why)
}

func TestMatchIsFitToBeShown(t *testing.T) {
	_, why := bound(t, "environment=prod").Match(claimsOf(t, map[string]string{"environment": "an Invalid  Token\n" + strings.Repeat("x", 5000)}))
	require.Less(t, len(why), 400)
	require.NotContains(t, why, "\n")
	require.NotContains(t, strings.ToLower(why), "invalid token")
	require.NotContains(t, strings.ToLower(why), "invalid  token")

	_, why = bound(t, "a=1", "a=2", "a=3", "a=4", "a=5", "a=6", "a=7", "a=8", "a=9", "a=10").Match(identity.Claims{})
	require.Equal(t, `claim a is missing; allowed: "1", "2", "3", "4", "5", "6", "7", "8" and 2 more`, why)
}

func TestParseBoundRefuses(t *testing.T) {
	for _, entry := range []string{
		"", "repository", "=acme/web", " repository=acme/web", "repository =acme/web", "repos*=acme/web",
		"a b=c", "{{claims.repository}}", "ref=\xff", "ref=" + strings.Repeat("x", 1025),
	} {
		_, err := identity.ParseBound("bound_claims", []string{"sub=fine", entry})
		requireFault(t, err, fault.Invalid, "bound_claims: ")
	}
}

// TestOneMoreClaimNeverLetsMoreThrough is the promise that an operator relies on
// who adds a line for a claim that no line speaks of yet.
func TestOneMoreClaimNeverLetsMoreThrough(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	letters := []string{"a", "b", "/", "*", "**", "."}
	word := func(n int) string {
		var b strings.Builder
		for range random.IntN(n) {
			b.WriteString(letters[random.IntN(len(letters))])
		}
		return b.String()
	}
	names := []string{"one", "two", "three"}
	passed := 0
	for range 20000 {
		job := map[string]string{}
		for _, name := range append(names, "more") {
			if random.IntN(4) > 0 {
				job[name] = strings.ReplaceAll(word(4), "*", "a")
			}
		}
		var list []string
		for range random.IntN(4) {
			list = append(list, names[random.IntN(len(names))]+"="+word(4))
		}
		claims := claimsOf(t, job)
		more, _ := bound(t, append(list, "more="+word(4))...).Match(claims)
		fewer, _ := bound(t, list...).Match(claims)
		if more {
			passed++
			require.True(t, fewer, "%v passes %v only with one more claim", job, list)
		}
	}
	require.Greater(t, passed, 100, "the property must have been put to the test")
}
