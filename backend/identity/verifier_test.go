// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func TestVerifyEachPlatform(t *testing.T) {
	now := newClock()
	for _, test := range []struct {
		preset, path, repository string
		claims                   identitytest.Claims
	}{
		{identity.GitHubActions, identitytest.GitHubPath, "acme/web", identitytest.GitHub()},
		{identity.GitLab, identitytest.GitLabPath, "acme/shop/web", identitytest.GitLab()},
		{identity.Forgejo, identitytest.ForgejoPath, "acme/web", identitytest.Forgejo()},
	} {
		t.Run(test.preset, func(t *testing.T) {
			issuer := identitytest.New(t, identitytest.Options{Path: test.path, TLS: true, Now: now.Now})
			definition := discovering(issuer)
			definition.Preset = test.preset
			v := verifier(t, definition, identity.Options{Now: now.Now})
			require.NoError(t, v.Prove(t.Context()))

			who, err := v.Verify(t.Context(), issuer.Mint(test.claims)+"\n")
			require.NoError(t, err)
			require.Equal(t, issuer.URL(), who.Issuer)
			require.Equal(t, test.preset, who.Preset)
			require.Equal(t, now.Now().Add(identitytest.Lifetime), who.ExpiresAt)
			require.Equal(t, test.repository, who.Job().Repository)
			require.Equal(t, 1, issuer.Fetches(), "keys that were proven need not be fetched again")
		})
	}
}

func TestVerifyEachAlgorithm(t *testing.T) {
	for _, algorithm := range []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	} {
		t.Run(string(algorithm), func(t *testing.T) {
			issuer := identitytest.New(t, identitytest.Options{Algorithm: algorithm})
			_, err := verifier(t, discovering(issuer), identity.Options{}).Verify(t.Context(), issuer.Mint(identitytest.GitHub()))
			require.NoError(t, err)
		})
	}
}

func TestVerifyByEachKeySource(t *testing.T) {
	issuer := identitytest.New(t, identitytest.Options{})
	stranger := identitytest.New(t, identitytest.Options{Algorithm: jose.EdDSA})
	for name, definition := range map[string]identity.Issuer{
		"discovery":                 {DiscoveryURL: issuer.URL()},
		"jwks":                      {JWKSURL: issuer.KeysURL(), BoundIssuer: issuer.URL()},
		"jwks without an issuer":    {JWKSURL: issuer.KeysURL()},
		"public keys":               {PublicKeys: []string{stranger.PublicKey(), issuer.PublicKey()}, BoundIssuer: issuer.URL()},
		"public keys in one string": {PublicKeys: []string{stranger.PublicKey() + issuer.PublicKey()}},
	} {
		t.Run(name, func(t *testing.T) {
			definition.Audiences = []string{"another", identitytest.Audience}
			v := verifier(t, definition, identity.Options{})
			require.NoError(t, v.Prove(t.Context()))
			who, err := v.Verify(t.Context(), issuer.Mint(identitytest.GitHub()))
			require.NoError(t, err)
			require.Equal(t, issuer.URL(), who.Issuer)
		})
	}
}

func TestForgeries(t *testing.T) {
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA} {
		issuer := identitytest.New(t, identitytest.Options{Algorithm: algorithm})
		fixed := discovering(issuer)
		fixed.DiscoveryURL, fixed.BoundIssuer, fixed.PublicKeys = "", issuer.URL(), []string{issuer.PublicKey()}
		for source, definition := range map[string]identity.Issuer{"fetched": discovering(issuer), "fixed": fixed} {
			v := verifier(t, definition, identity.Options{})
			_, err := v.Verify(t.Context(), issuer.Mint(identitytest.GitHub()))
			require.NoError(t, err, "the claims themselves would pass")
			for _, forgery := range issuer.Forgeries(identitytest.GitHub()) {
				t.Run(string(algorithm)+" "+source+" "+forgery.Name, func(t *testing.T) {
					who, err := v.Verify(t.Context(), forgery.Token)
					require.Nil(t, who)
					requireFault(t, err, fault.Denied, "identity: ")
					require.Contains(t, err.Error(), forgery.Gate)
					requireSilent(t, err, forgery.Token)
				})
			}
		}
	}
}

func TestEachGateIsNamed(t *testing.T) {
	now := newClock()
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256, Now: now.Now})
	v := verifier(t, discovering(issuer), identity.Options{Now: now.Now})
	at := func(offset time.Duration) int64 { return now.Now().Add(offset).Unix() }
	for _, test := range []struct {
		name   string
		claims identitytest.Claims
		gate   string // empty: it passes
	}{
		{"all is well", identitytest.Claims{}, ""},
		{"another issuer", identitytest.Claims{"iss": "https://mallory.example.com"}, `wrong issuer: claim iss is "https://mallory.example.com"`},
		{"an issuer that goes on", identitytest.Claims{"iss": issuer.URL() + "/"}, "wrong issuer"},
		{"no issuer", identitytest.Claims{"iss": nil}, "wrong issuer: claim iss is missing"},
		{"a list of issuers", identitytest.Claims{"iss": []string{issuer.URL()}}, "wrong issuer"},
		{"another audience", identitytest.Claims{"aud": "https://github.com/acme"}, `wrong audience: the id_token is for "https://github.com/acme"; allowed: "https://vault.example.com"`},
		{"one of its audiences", identitytest.Claims{"aud": []string{"other", identitytest.Audience}}, ""},
		{"no audience", identitytest.Claims{"aud": nil}, "wrong audience: the id_token is for nobody"},
		{"an audience that goes on", identitytest.Claims{"aud": identitytest.Audience + "/x"}, "wrong audience"},
		{"an audience in a list in a list", identitytest.Claims{"aud": [][]string{{identitytest.Audience}}}, "wrong audience"},
		{"an audience beside a number", identitytest.Claims{"aud": []any{identitytest.Audience, 1}}, "malformed"},

		{"ended, within the leeway", identitytest.Claims{"exp": at(-identity.Leeway)}, ""},
		{"ended", identitytest.Claims{"exp": at(-identity.Leeway - time.Second)}, "expired: the id_token ended at 2026-11-02T08:58:59Z"},
		{"no end", identitytest.Claims{"exp": nil}, "wrong time: claim exp, which must be a time, is missing"},
		{"no end and no beginning", identitytest.Claims{"exp": nil, "iat": nil, "nbf": nil}, "wrong time"},
		{"an end of zero", identitytest.Claims{"exp": 0}, "expired"},
		{"an end before all", identitytest.Claims{"exp": -1}, "expired"},
		{"an end in words", identitytest.Claims{"exp": "1793610600"}, "wrong time"},
		{"an end that is true", identitytest.Claims{"exp": true}, "wrong time"},
		{"an end beyond all", identitytest.Claims{"exp": json.Number("1e300")}, "wrong time"},
		{"an end beyond the calendar", identitytest.Claims{"exp": 253402300800}, "wrong time"},
		{"an end in parts of seconds", identitytest.Claims{"exp": json.Number("1793610600.75")}, ""},
		{"begins, within the leeway", identitytest.Claims{"nbf": at(identity.Leeway)}, ""},
		{"not begun", identitytest.Claims{"nbf": at(identity.Leeway + time.Second)}, "not yet valid: claim nbf"},
		{"made in the future", identitytest.Claims{"iat": at(identity.Leeway + time.Second)}, "not yet valid: claim iat"},
		{"no beginning", identitytest.Claims{"iat": nil, "nbf": nil}, ""},
		{"a beginning in words", identitytest.Claims{"nbf": "now"}, "malformed"},
		{"a jti that is no string", identitytest.Claims{"jti": 5}, "malformed"},
		{"an issuer twice, in two cases", identitytest.Claims{"ISS": "https://mallory.example.com"}, "malformed"},
		{"an issuer called so", identitytest.Claims{"iss": "an invalid token"}, "wrong issuer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := issuer.Mint(identitytest.GitHub().With(test.claims))
			who, err := v.Verify(t.Context(), token)
			if test.gate == "" {
				require.NoError(t, err)
				return
			}
			require.Nil(t, who)
			requireFault(t, err, fault.Denied, "identity: "+test.gate)
			requireSilent(t, err, token)
		})
	}
}

func TestGarbageIsDenied(t *testing.T) {
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256})
	v := verifier(t, discovering(issuer), identity.Options{})
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for name, raw := range map[string]string{
		"nothing":                "",
		"spaces":                 " \n",
		"words":                  "let me in",
		"a personal token":       "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
		"dots":                   "..",
		"five parts":             "a.b.c.d.e",
		"not base64url":          "a+b/.c+d/.e+f/",
		"padded":                 part(`{"alg":"RS256"}`) + "==." + part("{}") + ".AA",
		"a header that is none":  part("x") + "." + part("{}") + ".AAAA",
		"a header that is null":  part("null") + "." + part("{}") + ".AAAA",
		"a header that is words": part(`"RS256"`) + "." + part("{}") + ".AAAA",
		"an algorithm of 1":      part(`{"alg":1}`) + "." + part("{}") + ".AAAA",
		"claims that are none":   part(`{"alg":"RS256"}`) + "." + part("[]") + ".AAAA",
		"too long":               issuer.Mint(identitytest.Claims{"x": strings.Repeat("x", identity.MaxTokenBytes)}),
	} {
		who, err := v.Verify(t.Context(), raw)
		require.Nil(t, who, name)
		requireFault(t, err, fault.Denied, "identity: ")
		requireSilent(t, err, raw)
	}
	require.Zero(t, issuer.Fetches(), "garbage causes no traffic")
}

func TestOnlyPlausibleTokensCauseTraffic(t *testing.T) {
	now := newClock()
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256, Now: now.Now})
	v := verifier(t, discovering(issuer), identity.Options{Now: now.Now})
	for _, claims := range []identitytest.Claims{{"iss": "https://other.example.com"}, {"aud": "other"}, {"exp": 1}} {
		_, err := v.Verify(t.Context(), issuer.Mint(claims))
		requireFault(t, err, fault.Denied, "identity: ")
	}
	require.Zero(t, issuer.Discoveries())
}

// TestASignedTokenOfOddClaims: even an issuer that is trusted must be clear.
func TestASignedTokenOfOddClaims(t *testing.T) {
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256})
	v := verifier(t, discovering(issuer), identity.Options{})
	for name, payload := range map[string]string{
		"twice":     `{"iss":"` + issuer.URL() + `","aud":"` + identitytest.Audience + `","exp":4000000000,"repository":"acme/web","repository":"mallory/web"}`,
		"not UTF-8": "{\"iss\":\"" + issuer.URL() + "\",\"aud\":\"" + identitytest.Audience + "\",\"exp\":4000000000,\"ref\":\"\xff\"}",
		"a list":    `["` + issuer.URL() + `"]`,
	} {
		_, err := v.Verify(t.Context(), issuer.MintRaw([]byte(payload), nil))
		requireFault(t, err, fault.Denied, "malformed")
		require.NotNil(t, err, name)
	}
}

func TestATokensID(t *testing.T) {
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256})
	other := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256})
	v, w := verifier(t, discovering(issuer), identity.Options{}), verifier(t, discovering(other), identity.Options{})
	id := func(v *identity.Verifier, token string) string {
		t.Helper()
		who, err := v.Verify(t.Context(), token)
		require.NoError(t, err)
		require.Regexp(t, `\A[0-9a-f]{64}\z`, who.ID)
		return who.ID
	}
	one := issuer.Mint(identitytest.Claims{"jti": "one"})
	require.Equal(t, id(v, one), id(v, " "+one+"\n"))
	require.Equal(t, id(v, one), id(v, issuer.Mint(identitytest.Claims{"jti": "one", "x": "y"})), "a jti is the id")
	require.NotEqual(t, id(v, one), id(v, issuer.Mint(identitytest.Claims{"jti": "two"})))
	require.NotEqual(t, id(v, one), id(w, other.Mint(identitytest.Claims{"jti": "one"})), "another issuer's")

	for _, none := range []any{nil, ""} {
		bare := issuer.Mint(identitytest.Claims{"jti": none})
		require.Equal(t, id(v, bare), id(v, bare+"\n"))
		require.NotEqual(t, id(v, bare), id(v, issuer.Mint(identitytest.Claims{"jti": none, "x": "y"})))
	}
}

// TestATokenHasOneSpelling: spare bits at the end of a part must not make a second
// token of it, which a single use would not know.
func TestATokenHasOneSpelling(t *testing.T) {
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.RS256})
	v := verifier(t, discovering(issuer), identity.Options{})
	token := issuer.Mint(identitytest.Claims{"jti": nil})
	_, err := v.Verify(t.Context(), token)
	require.NoError(t, err)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1]) // 2048 bits leave four to spare
	require.Zero(t, last%16)
	_, err = v.Verify(t.Context(), token[:len(token)-1]+string(alphabet[last+1]))
	requireFault(t, err, fault.Denied, "part 3 is not base64url")
}

func TestACallerWhoLeavesDoesNotWait(t *testing.T) {
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256})
	issuer.Fail(identitytest.Hanging)
	v := verifier(t, discovering(issuer), identity.Options{FetchTimeout: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := v.Verify(ctx, issuer.Mint(identitytest.GitHub()))
	requireFault(t, err, fault.Unavailable, "did not come in time")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
