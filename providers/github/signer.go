// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"crypto/rsa"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

const (
	// GitHub allows ten minutes ahead. Clocks differ: the JWT begins a minute ago
	// and ends a minute early.
	jwtBackdate = 60 * time.Second
	jwtLife     = 540 * time.Second
	// jwtReuse is how long one is used again; signing costs about a millisecond.
	jwtReuse = 5 * time.Minute
)

// signer makes the JWT that proves that we are the App.
type signer struct {
	issuer string
	key    *rsa.PrivateKey
	now    func() time.Time

	// mu is held while signing, so that a hundred callers sign once; no I/O
	// happens under it.
	mu     sync.Mutex
	token  string
	signed time.Time
}

// jwt gives one that is good for some minutes yet.
func (s *signer) jwt() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if age := now.Sub(s.signed); s.token != "" && age >= 0 && age < jwtReuse {
		return s.token, nil
	}
	claims := jwt.RegisteredClaims{
		Issuer:    s.issuer,
		IssuedAt:  jwt.NewNumericDate(now.Add(-jwtBackdate)),
		ExpiresAt: jwt.NewNumericDate(now.Add(jwtLife)),
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(s.key)
	if err != nil {
		return "", fault.New(fault.Internal, "github: sign the App's JWT: %w", err)
	}
	s.token, s.signed = token, now
	return token, nil
}
