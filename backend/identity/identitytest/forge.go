// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identitytest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Forgery is a token that nobody may accept, though its claims would pass.
type Forgery struct {
	// Name says what is wrong with it.
	Name string
	// Gate is what a refusal has to speak of.
	Gate string
	// Token is the token.
	Token string
}

// Forgeries are what somebody tries who wants to pass with the given claims: they
// have a token of this issuer with claims of no worth, its published keys, and keys
// of their own.
func (i *Issuer) Forgeries(wanted Claims) []Forgery {
	i.t.Helper()
	own := newKey(i.t, i.options.Algorithm)
	good := strings.Split(i.Mint(wanted), ".")
	header, payload, signature := good[0], good[1], good[2]
	other := strings.Split(i.Mint(Claims{"repository": "mallory/web"}), ".")
	decoded, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	id, public := i.signing.id, i.signing.public(i.t)
	i.mu.Unlock()

	return []Forgery{
		{"no algorithm and no signature", "algorithm", part(`{"alg":"none","typ":"JWT"}`) + "." + payload + "."},
		{"no algorithm, with a signature", "algorithm", part(`{"alg":"none","kid":"`+id+`"}`) + "." + payload + "." + signature},
		{"no algorithm, oddly spelled", "algorithm", part(`{"alg":"nOnE"}`) + "." + payload + "."},
		{"an empty algorithm", "algorithm", part(`{"alg":""}`) + "." + payload + "." + signature},
		{"the public key as an HMAC secret", "algorithm", hmacWith(public, `{"alg":"HS256","kid":"`+id+`"}`, payload)},
		{"another algorithm written on it", "signature", part(`{"alg":"PS512","kid":"`+id+`"}`) + "." + payload + "." + signature},
		{"signed with another key", "key", own.sign(i.t, decoded, nil)},
		{"signed with another key that takes the id of ours", "signature", own.sign(i.t, decoded, map[jose.HeaderKey]any{"kid": id})},
		{"signed with the key that it brings along", "signature", own.sign(i.t, decoded, map[jose.HeaderKey]any{
			"kid": id, "jwk": own.published(), "jku": "https://mallory.example.com/keys",
		})},
		{"the claims of one token with the signature of another", "signature", other[0] + "." + payload + "." + other[2]},
		{"the signature left out", "signature", header + "." + payload + "."},
		{"the signature cut short", "signature", header + "." + payload + "." + signature[:len(signature)/2/4*4]},
		{"the signature part left out", "malformed", header + "." + payload},
		{"a fourth part", "malformed", header + "." + payload + "." + signature + "." + signature},
		{"cut in the claims", "malformed", header + "." + payload[:len(payload)/2/4*4] + "." + signature},
		{"a line break inside", "malformed", header + "." + payload[:40] + "\n" + payload[40:] + "." + signature},
		{"an unknown critical header", "signature", i.MintRaw(decoded, map[jose.HeaderKey]any{"crit": []string{"mallory"}, "mallory": true})},
		{"the JSON form of a JWS", "malformed", `{"protected":"` + header + `","payload":"` + payload + `","signature":"` + signature + `"}`},
		{"an algorithm named twice", "algorithm", part(`{"alg":"RS256","alg":"none"}`) + "." + payload + "." + signature},
	}
}

// part is one part of a compact JWS.
func part(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func hmacWith(secret, header, payload string) string {
	signed := part(header) + "." + payload
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
