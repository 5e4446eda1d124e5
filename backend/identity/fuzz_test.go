// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity_test

import (
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// FuzzVerify: of all texts only the tokens that the issuer signed pass, and no
// refusal shows what it refuses. Its seeds run with the other tests; to look further:
//
//	go test ./backend/identity -run '^$' -fuzz '^FuzzVerify$' -fuzztime 1h
func FuzzVerify(f *testing.F) {
	now := newClock()
	issuer := identitytest.New(f, identitytest.Options{Algorithm: jose.EdDSA, Now: now.Now})
	definition := discovering(issuer)
	definition.DiscoveryURL, definition.BoundIssuer, definition.PublicKeys = "", issuer.URL(), []string{issuer.PublicKey()}
	v := verifier(f, definition, identity.Options{Now: now.Now})

	good := issuer.Mint(identitytest.GitHub())
	f.Add(good)
	f.Add(issuer.Mint(identitytest.GitLab().With(identitytest.Claims{"exp": 1})))
	for _, forgery := range issuer.Forgeries(identitytest.GitHub()) {
		f.Add(forgery.Token)
	}
	for _, odd := range []string{"", ".", "..", "a.b.c", "e30.e30.e30", "{}", "\x00", strings.Repeat("A", 100) + "..", "bnVsbA.bnVsbA.AA"} {
		f.Add(odd)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		who, err := v.Verify(t.Context(), raw)
		if err == nil {
			require.Equal(t, good, strings.TrimSpace(raw))
			require.Equal(t, issuer.URL(), who.Issuer)
			return
		}
		require.Nil(t, who)
		requireFault(t, err, fault.Denied, "identity: ")
		requireSilent(t, err, raw)
	})
}

// FuzzClaims: what is read is read in one way, and a claim that is not a plain
// value has no text.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"a":"b"}`, `{"a":1e999}`, `{"a":null}`, `{"a":[{}]}`, `{"a":1,"a":2}`, `{"a":1}{}`, "null", `{"\u0061":"\ud800"}`, "{\"a\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	star, err := identity.ParseBound("bound_claims", []string{"a=**"})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, payload []byte) {
		claims, err := identity.ParseClaims(payload)
		if err != nil {
			require.Equal(t, identity.Claims{}, claims)
		}
		_, ok := claims.Text("a")
		matched, why := star.Match(claims)
		require.Equal(t, ok, matched, why)
	})
}
