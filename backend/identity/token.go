// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/go-jose/go-jose/v4"
	capjwt "github.com/hashicorp/cap/jwt"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// MaxTokenBytes bounds an id_token. Real ones have two or three kilobytes.
const MaxTokenBytes = 16 << 10

// algorithms are all that a token may be signed with: asymmetric ones. HMAC would
// make a public key a secret, and "none" is no signature.
func algorithms() []capjwt.Alg {
	return []capjwt.Alg{
		capjwt.RS256, capjwt.RS384, capjwt.RS512, capjwt.PS256, capjwt.PS384, capjwt.PS512,
		capjwt.ES256, capjwt.ES384, capjwt.ES512, capjwt.EdDSA,
	}
}

func joseAlgorithms() []jose.SignatureAlgorithm {
	var list []jose.SignatureAlgorithm
	for _, algorithm := range algorithms() {
		list = append(list, jose.SignatureAlgorithm(algorithm))
	}
	return list
}

// denied says that a token does not pass the gate.
func denied(gate, format string, args ...any) error {
	return fault.New(fault.Denied, "identity: "+gate+": "+format, args...)
}

// idToken is a token in its parts, of which nothing is proven yet. The claims are
// read from what signed signs.
type idToken struct {
	raw    string
	signed *jose.JSONWebSignature
	claims Claims
}

// parseToken takes a token apart. It allows one spelling only: where a text could
// be changed without breaking the signature, a single use could be had twice.
func parseToken(raw string) (*idToken, error) {
	raw = strings.TrimSpace(raw)
	if raw == "" {
		return nil, denied("no id_token", "write the job's own OIDC token")
	}
	if len(raw) > MaxTokenBytes {
		return nil, denied("malformed id_token", "it has more than %d bytes", MaxTokenBytes)
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, denied("malformed id_token", "a JWT has three parts, this has %d", len(parts))
	}
	var decoded [3][]byte
	for n, part := range parts {
		var err error
		if decoded[n], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return nil, denied("malformed id_token", "part %d is not base64url", n+1)
		}
	}
	if err := checkAlgorithm(decoded[0]); err != nil {
		return nil, err
	}
	if len(decoded[2]) == 0 {
		return nil, denied("wrong signature", "the id_token is not signed")
	}
	signed, err := jose.ParseSignedCompact(raw, joseAlgorithms())
	if err != nil {
		return nil, denied("malformed id_token", "its header is not that of a signed JWT")
	}
	claims, err := ParseClaims(signed.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, denied("malformed id_token", "%w", err)
	}
	return &idToken{raw: raw, signed: signed, claims: claims}, nil
}

func checkAlgorithm(header []byte) error {
	var fields struct {
		Algorithm string `json:"alg"`
	}
	if err := json.Unmarshal(header, &fields); err != nil {
		return denied("malformed id_token", "its header is not a JSON object")
	}
	if fields.Algorithm == "" {
		return denied("wrong algorithm", "the id_token names none")
	}
	if err := capjwt.SupportedSigningAlgorithm(capjwt.Alg(fields.Algorithm)); err != nil {
		return denied("wrong algorithm", "%s; allowed are RS, PS and ES with 256, 384 and 512, and EdDSA", show(fields.Algorithm))
	}
	return nil
}

// id is what a token is remembered by when it may be used once only: its jti within
// its issuer, else what was signed. It has a fixed length and is fit for a key.
func (t *idToken) id() string {
	if jti, ok := t.claims.Text("jti"); ok && jti != "" {
		issuer, _ := t.claims.Text("iss")
		return hash("jti", issuer, jti)
	}
	return hash("signed", t.raw[:strings.LastIndexByte(t.raw, '.')])
}

// hash is one for a list of texts: JSON keeps them apart whatever they hold.
func hash(texts ...string) string {
	joined, _ := json.Marshal(texts) // strings always marshal
	sum := sha256.Sum256(joined)
	return hex.EncodeToString(sum[:])
}
