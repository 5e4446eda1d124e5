// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// leastKeyBits is what GitHub's own keys have.
const leastKeyBits = 2048

// Fingerprint is the hex SHA-256 of the DER (PKIX) of a private key's public half:
// the same bytes that GitHub shows in base64 beside the key. Of a text that is no
// key it is the SHA-256.
func Fingerprint(text string) string {
	content := []byte(text)
	if key, err := parseKey(text); err == nil {
		if der, err := x509.MarshalPKIXPublicKey(&key.PublicKey); err == nil {
			content = der
		}
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// parseKey reads an RSA private key from PEM, PKCS#1 or PKCS#8. Line ends may be
// written as \n, as they are in environment variables. Its errors are
// fault.Invalid and say nothing of the key.
func parseKey(text string) (*rsa.PrivateKey, error) {
	text = strings.ReplaceAll(text, `\r\n`, "\n")
	text = strings.ReplaceAll(text, `\n`, "\n")
	block, rest := pem.Decode([]byte(strings.TrimSpace(text) + "\n"))
	if block == nil {
		return nil, badKey("is not PEM: it starts with -----BEGIN RSA PRIVATE KEY----- or -----BEGIN PRIVATE KEY----- and has line breaks")
	}
	if strings.TrimSpace(string(rest)) != "" {
		return nil, badKey("holds more than one key")
	}
	key, err := parseBlock(block)
	if err != nil {
		return nil, err
	}
	if bits := key.N.BitLen(); bits < leastKeyBits {
		return nil, badKey("has %d bits; GitHub's keys have %d at least", bits, leastKeyBits)
	}
	if err := key.Validate(); err != nil {
		return nil, badKey("is damaged: its numbers do not belong together")
	}
	return key, nil
}

func parseBlock(block *pem.Block) (*rsa.PrivateKey, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, badKey("is encrypted with a passphrase; give it without one")
	}
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, badKey("is not a PKCS#1 RSA key, or is damaged")
		}
		return key, nil
	case "PRIVATE KEY":
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, badKey("is not a PKCS#8 key, or is damaged")
		}
		key, ok := parsed.(*rsa.PrivateKey)
		if !ok {
			return nil, badKey("is not an RSA key; a GitHub App's key is")
		}
		return key, nil
	case "EC PRIVATE KEY", "DSA PRIVATE KEY", "OPENSSH PRIVATE KEY":
		return nil, badKey("is an %s; a GitHub App's key is an RSA PRIVATE KEY", block.Type)
	case "PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE":
		return nil, badKey("is a %s; the private key is needed", block.Type)
	default:
		return nil, badKey("is PEM of another kind than RSA PRIVATE KEY or PRIVATE KEY")
	}
}

func badKey(format string, args ...any) error {
	return fault.InvalidField(fieldPrivateKey, format, args...)
}
