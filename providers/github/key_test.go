// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func encode(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t *testing.T, key any) string {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return encode(t, "PRIVATE KEY", der, err)
}

func TestKeysThatAreRead(t *testing.T) {
	for name, text := range map[string]string{
		"PKCS#1":               keyPEM(),
		"PKCS#8":               pkcs8(t, testKey()),
		"without a last line":  strings.TrimSpace(keyPEM()),
		"with white space":     "\n\n  " + keyPEM() + "\n\n",
		"with written \\n":     strings.ReplaceAll(keyPEM(), "\n", `\n`),
		"with written \\r\\n":  strings.ReplaceAll(keyPEM(), "\n", `\r\n`),
		"with Windows' lines":  strings.ReplaceAll(keyPEM(), "\n", "\r\n"),
		"with a comment ahead": "the key of our App\n" + keyPEM(),
	} {
		t.Run(name, func(t *testing.T) {
			key, err := parseKey(text)
			require.NoError(t, err)
			require.True(t, testKey().Equal(key))
			require.Equal(t, Fingerprint(keyPEM()), Fingerprint(text))
		})
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ecDER, ecErr := x509.MarshalECPrivateKey(ec)
	public, publicErr := x509.MarshalPKIXPublicKey(testKey().Public())
	encrypted := strings.Replace(keyPEM(), "KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n", 1)
	for name, tc := range map[string]struct{ text, says string }{
		"empty":             {"", "is not PEM"},
		"a path":            {"/etc/app.pem", "is not PEM"},
		"one line":          {strings.ReplaceAll(keyPEM(), "\n", " "), "is not PEM"},
		"two":               {keyPEM() + keyPEM(), "more than one"},
		"public":            {encode(t, "PUBLIC KEY", public, publicErr), "the private key is needed"},
		"elliptic":          {encode(t, "EC PRIVATE KEY", ecDER, ecErr), "RSA"},
		"elliptic PKCS#8":   {pkcs8(t, ec), "not an RSA key"},
		"encrypted":         {encrypted, "passphrase"},
		"encrypted PKCS#8":  {encode(t, "ENCRYPTED PRIVATE KEY", []byte("x"), nil), "passphrase"},
		"OpenSSH":           {encode(t, "OPENSSH PRIVATE KEY", []byte("x"), nil), "RSA"},
		"damaged":           {encode(t, "RSA PRIVATE KEY", []byte("x"), nil), "damaged"},
		"damaged PKCS#8":    {encode(t, "PRIVATE KEY", []byte("x"), nil), "damaged"},
		"something else":    {encode(t, "MESSAGE", []byte("x"), nil), "another kind"},
		"a short key's PEM": {shortKey(t), "1024 bits"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseKey(tc.text)
			requireFault(t, err, fault.Invalid, "private_key: ", tc.says)
			require.Len(t, Fingerprint(tc.text), 64)
		})
	}
}

// shortKey is a key of 1024 bits; this Go makes such keys only when it is told to.
func shortKey(t *testing.T) string {
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	return encode(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), nil)
}

func TestFingerprintIsOfThePublicKey(t *testing.T) {
	der, err := x509.MarshalPKIXPublicKey(testKey().Public())
	require.NoError(t, err)
	sum := sha256.Sum256(der)
	require.Equal(t, hex.EncodeToString(sum[:]), Fingerprint(keyPEM()))
}

func TestJWTIsWhatGitHubWants(t *testing.T) {
	clock := newClock()
	s := &signer{issuer: "Iv23liAbC", key: testKey(), now: clock.now}
	text, err := s.jwt()
	require.NoError(t, err)
	claims := jwt.RegisteredClaims{}
	parsed, err := jwt.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return testKey().Public(), nil }, jwt.WithValidMethods([]string{"RS256"}))
	require.NoError(t, err)
	require.True(t, parsed.Valid)
	require.Equal(t, "Iv23liAbC", claims.Issuer)
	require.Equal(t, 600*time.Second, claims.ExpiresAt.Sub(claims.IssuedAt.Time))
	require.Equal(t, clock.now().Add(-60*time.Second).Unix(), claims.IssuedAt.Unix())

	clock.advance(jwtReuse - time.Second)
	again, err := s.jwt()
	require.NoError(t, err)
	require.Equal(t, text, again, "signed again though the first is good")
	clock.advance(2 * time.Second)
	later, err := s.jwt()
	require.NoError(t, err)
	require.NotEqual(t, text, later)
	clock.advance(-time.Hour)
	earlier, err := s.jwt()
	require.NoError(t, err)
	require.NotEqual(t, later, earlier, "the clock was set back, the JWT is from the future")
}

func FuzzParseKey(f *testing.F) {
	f.Add(keyPEM())
	f.Add("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")
	f.Add(`-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----`)
	f.Fuzz(func(t *testing.T, text string) {
		key, err := parseKey(text)
		require.Equal(t, err == nil, key != nil)
		if err != nil {
			require.Equal(t, fault.Invalid, fault.KindOf(err))
		}
		require.Len(t, Fingerprint(text), 64)
	})
}
