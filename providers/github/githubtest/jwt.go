// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxJWTLife is how far ahead the end of an App's JWT may be.
	maxJWTLife = 600 * time.Second
	// jwtLeeway is how far an App's clock may run ahead of ours.
	jwtLeeway = 5 * time.Second

	msgUndecodable = "A JSON web token could not be decoded"
	msgIssuer      = "'Issuer' claim ('iss') must be an Integer"
	msgNoApp       = "Integration not found"
	msgExpiry      = "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires"
	msgExpiryFar   = "'Expiration time' claim ('exp') is too far in the future"
	msgIssuedAt    = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
)

// authenticateApp says whose JWT a request shows. Like GitHub, it looks the App up
// by the unverified issuer before it can know which key to verify with.
func (s *Simulator) authenticateApp(r *http.Request) (*App, *answer) {
	scheme, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, refuse(http.StatusUnauthorized, msgUndecodable)
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithoutClaimsValidation(), jwt.WithJSONNumber())
	claims := jwt.MapClaims{}
	token, _, err := parser.ParseUnverified(raw, claims)
	if err != nil || token.Method.Alg() != "RS256" {
		return nil, refuse(http.StatusUnauthorized, msgUndecodable)
	}
	found, refusal := s.issuer(claims["iss"])
	if refusal != nil {
		return nil, refusal
	}
	if !s.signed.known(found, raw) {
		keys := func(*jwt.Token) (any, error) { return verificationKeys(found), nil }
		if _, err := parser.Parse(raw, keys); err != nil {
			return nil, refuse(http.StatusUnauthorized, msgUndecodable)
		}
		s.signed.add(found, raw)
	}
	if message := checkTimes(claims, s.now()); message != "" {
		return nil, refuse(http.StatusUnauthorized, message)
	}
	return found, nil
}

// signed are JWTs whose signature has been verified: an App shows the same one for
// minutes, and RSA is most of what a mint costs here.
type signed struct {
	mu   sync.Mutex
	good map[signature]bool
}

// signature is a JWT and the version of an App whose key it was verified with.
type signature struct {
	app *App
	raw string
}

// mostSigned bounds the JWTs that are remembered.
const mostSigned = 1000

func (s *signed) known(app *App, raw string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good[signature{app, raw}]
}

func (s *signed) add(app *App, raw string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good == nil || len(s.good) >= mostSigned {
		s.good = map[signature]bool{}
	}
	s.good[signature{app, raw}] = true
}

// issuer finds the App that `iss` names, by App ID (string or number) or client ID.
func (s *Simulator) issuer(iss any) (*App, *answer) {
	var name string
	switch v := iss.(type) {
	case string:
		name = v
	case json.Number:
		name = v.String()
	}
	if app := s.world.app(name); app != nil {
		return app, nil
	}
	if _, err := strconv.ParseInt(name, 10, 64); err != nil {
		return nil, refuse(http.StatusUnauthorized, msgIssuer)
	}
	return nil, refuse(http.StatusNotFound, msgNoApp)
}

func verificationKeys(app *App) jwt.VerificationKeySet {
	set := jwt.VerificationKeySet{}
	for _, key := range app.Keys {
		set.Keys = append(set.Keys, jwt.VerificationKey((*rsa.PublicKey)(&key.PublicKey)))
	}
	return set
}

// checkTimes returns GitHub's message for what is wrong with exp or iat, if anything.
func checkTimes(claims jwt.MapClaims, now time.Time) string {
	exp, ok := seconds(claims["exp"])
	switch {
	case !ok || !exp.After(now):
		return msgExpiry
	case exp.After(now.Add(maxJWTLife)):
		return msgExpiryFar
	}
	iat, ok := seconds(claims["iat"])
	if !ok || iat.After(now.Add(jwtLeeway)) {
		return msgIssuedAt
	}
	return ""
}

// seconds reads a claim that must be a whole number of seconds.
func seconds(claim any) (time.Time, bool) {
	number, ok := claim.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	n, err := number.Int64()
	return time.Unix(n, 0), err == nil
}
