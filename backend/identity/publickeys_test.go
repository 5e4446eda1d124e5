// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// keySet is a JWKS as a server writes it.
func keySet(keys ...any) map[string]any { return map[string]any{"keys": append([]any{}, keys...)} }

func TestKeysOfNoUseAreLeftOut(t *testing.T) {
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256})
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	good := issuer.Key()
	encrypting := good
	encrypting.Use = "enc"
	useless := []any{
		map[string]string{"kty": "oct", "k": "c2VjcmV0", "kid": good.KeyID},
		map[string]string{"kty": "AKP", "alg": "ML-DSA-65", "kid": "of tomorrow"},
		jose.JSONWebKey{Key: weak.Public(), KeyID: good.KeyID, Use: "sig"},
		encrypting,
		"not a key",
		nil,
	}
	v := verifier(t, discovering(issuer), identity.Options{})

	issuer.SetKeySet(keySet(useless...))
	requireFault(t, v.Prove(t.Context()), fault.Invalid, "has no key that can verify a signature")
	issuer.SetKeySet(keySet(append(useless, good)...))
	require.NoError(t, v.Prove(t.Context()))
	_, err = v.Verify(t.Context(), issuer.Mint(identitytest.GitHub()))
	require.NoError(t, err)

	many := make([]any, 65)
	for n := range many {
		many[n] = good
	}
	issuer.SetKeySet(keySet(many...))
	requireFault(t, v.Prove(t.Context()), fault.Invalid, "has more than 64 keys")
}

// TestAKeyOfAnotherAlgorithm: a key is good for what it is published for only.
func TestAKeyOfAnotherAlgorithm(t *testing.T) {
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.PS256})
	key := issuer.Key()
	key.Algorithm = string(jose.RS256)
	issuer.SetKeySet(keySet(key))
	_, err := verifier(t, discovering(issuer), identity.Options{}).Verify(t.Context(), issuer.Mint(identitytest.GitHub()))
	requireFault(t, err, fault.Denied, "wrong signature")
}

func TestKeysWithoutIDs(t *testing.T) {
	now := newClock()
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.EdDSA, Now: now.Now})
	v := verifier(t, discovering(issuer), identity.Options{Now: now.Now})
	publish := func() {
		key := issuer.Key()
		key.KeyID, key.Algorithm, key.Use = "", "", ""
		issuer.SetKeySet(keySet(key))
	}
	verify := func() error {
		_, err := v.Verify(t.Context(), issuer.Mint(identitytest.GitHub()))
		return err
	}
	publish()
	require.NoError(t, verify())
	issuer.Rotate()
	publish()
	require.NoError(t, verify(), "a rotated key is found without an id too")
	require.Equal(t, 2, issuer.Fetches())
}

func TestPublicKeysInEachForm(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	require.NoError(t, err)
	for kind, der := range map[string][]byte{
		"CERTIFICATE": certificate, "PUBLIC KEY": spki, "RSA PUBLIC KEY": x509.MarshalPKCS1PublicKey(&private.PublicKey),
	} {
		text := string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
		v := verifier(t, identity.Issuer{PublicKeys: []string{text}, Audiences: []string{"vault"}}, identity.Options{})
		require.Equal(t, []string{text}, v.Issuer().PublicKeys, kind)
	}
}
