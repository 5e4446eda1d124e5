// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

const (
	// minRSABits is the least that RFC 7518 allows.
	minRSABits = 2048
	// maxKeys bounds a key set: a token without a key id is tried with each.
	maxKeys = 64
)

// parsePublicKeys reads `public_keys`: PEM texts with public keys or certificates.
func parsePublicKeys(list []string) ([]jose.JSONWebKey, error) {
	var keys []jose.JSONWebKey
	for n, text := range list {
		before, rest := len(keys), []byte(text)
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			key, err := parsePublicKey(block)
			if err != nil {
				return nil, fault.InvalidField("public_keys", "number %d: %w", n+1, err)
			}
			keys = append(keys, jose.JSONWebKey{Key: key})
		}
		if len(keys) == before || strings.TrimSpace(string(rest)) != "" {
			return nil, fault.InvalidField("public_keys", "number %d is not a PEM public key (-----BEGIN PUBLIC KEY-----)", n+1)
		}
	}
	if len(keys) > maxKeys {
		return nil, fault.InvalidField("public_keys", "at most %d keys", maxKeys)
	}
	return keys, nil
}

func parsePublicKey(block *pem.Block) (any, error) {
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = certificate.PublicKey
		}
	default:
		return nil, fault.New(fault.Invalid, "holds a %s where only public keys and certificates are allowed", show(block.Type))
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "cannot be read as what its first line says")
	}
	if !strong(key) {
		return nil, fault.New(fault.Invalid, "must be RSA of at least %d bits, ECDSA on P-256, P-384 or P-521, or Ed25519", minRSABits)
	}
	return key, nil
}

// parseKeySet reads a JWKS. Keys that are of no use here are left out, as RFC 7517
// asks: other kinds, keys for encryption, and symmetric ones above all, with which
// whoever reads the set could sign.
func parseKeySet(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil || set.Keys == nil {
		return nil, fault.New(fault.Nonsense, "is not a JSON Web Key Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fault.New(fault.Nonsense, "has more than %d keys", maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(raw); err != nil {
			continue
		}
		if key = key.Public(); strong(key.Key) && (key.Use == "" || key.Use == "sig") {
			keys = append(keys, key)
		}
	}
	// None is an answer, too: an issuer withdraws all its keys in this way.
	return keys, nil
}

// strong reports whether it is a public key that is good enough.
func strong(key any) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		return key.Curve.Params().BitSize >= 256
	case ed25519.PublicKey:
		return true
	default:
		return false
	}
}
