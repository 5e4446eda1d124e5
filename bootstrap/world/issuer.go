// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// issuerKeyBits is what the platforms' own issuers use.
const issuerKeyBits = 2048

// Issuer signs job tokens (RS256) as a CI platform does.
type Issuer struct {
	// URL is the `iss` claim.
	URL string

	key    *rsa.PrivateKey
	public string
}

// NewIssuer makes an issuer with a key of its own.
func NewIssuer(url string) (*Issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, issuerKeyBits)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return &Issuer{URL: url, key: key, public: string(public)}, nil
}

// PublicKeyPEM is the key that the tokens are verified with.
func (i *Issuer) PublicKeyPEM() string { return i.public }

// Sign makes a token of the claims; `iss` is the issuer's unless they have one.
// Times (exp, iat, nbf) are the caller's to set.
func (i *Issuer) Sign(claims map[string]any) (string, error) {
	all := jwt.MapClaims{"iss": i.URL}
	for name, value := range claims {
		all[name] = value
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, all).SignedString(i.key)
	if err != nil {
		return "", fmt.Errorf("issuer: sign: %w", err)
	}
	return signed, nil
}
