// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"sync"
	"time"
)

// tokenLife is fixed: nobody can ask GitHub for another.
const tokenLife = time.Hour

// State is what has become of a token.
type State string

// The states of a token. A suspended one works again when its installation does.
const (
	Live      State = "live"
	Suspended State = "suspended"
	Revoked   State = "revoked"
	Expired   State = "expired"
	// Unknown is the state of what was never a token here.
	Unknown State = "unknown"
)

// Token is what a Simulator tells of a token that it made.
type Token struct {
	// SHA256 is standard base64 of the token's SHA-256, as hashed_token in
	// GitHub's audit log.
	SHA256         string            `json:"sha256"`
	State          State             `json:"state"`
	AppID          int64             `json:"app_id"`
	InstallationID int64             `json:"installation_id"`
	Account        string            `json:"account"`
	Permissions    map[string]string `json:"permissions"`
	// Repositories are names; nil is every one of the installation.
	Repositories []string  `json:"repositories"`
	CreatedAt    time.Time `json:"created_at"`
	ExpiresAt    time.Time `json:"expires_at"`
	// RevokedAt is zero for a token that nobody revoked.
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// token is a token as the Simulator keeps it: without its text.
type token struct {
	hash         [sha256.Size]byte
	installation *installation // as it was at the mint
	permissions  map[string]string
	repositories []*repository // nil: every one of the installation
	selection    string        // all or selected
	beyond       bool          // holds more than the installation has
	createdAt    time.Time
	expiresAt    time.Time
	revokedAt    time.Time // guarded by tokens.mu
}

func (t *token) names() []string {
	if t.repositories == nil {
		return nil
	}
	names := make([]string, len(t.repositories))
	for i, r := range t.repositories {
		names[i] = r.name
	}
	return names
}

// tokens are all that were ever made.
type tokens struct {
	mu     sync.RWMutex
	byHash map[[sha256.Size]byte]*token
	made   []*token
}

func newTokens() *tokens { return &tokens{byHash: map[[sha256.Size]byte]*token{}} }

func (ts *tokens) add(secret string, t *token) {
	t.hash = sha256.Sum256([]byte(secret))
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.byHash[t.hash] = t
	ts.made = append(ts.made, t)
}

func (ts *tokens) find(secret string) (t *token, revoked bool) {
	hash := sha256.Sum256([]byte(secret))
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	if t = ts.byHash[hash]; t == nil {
		return nil, false
	}
	return t, !t.revokedAt.IsZero()
}

// revoke kills a token; false when somebody else did before.
func (ts *tokens) revoke(t *token, now time.Time) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if !t.revokedAt.IsZero() {
		return false
	}
	t.revokedAt = now
	return true
}

func (ts *tokens) revokeAll(installationID int64, now time.Time) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.made {
		if t.installation.ID == installationID && t.revokedAt.IsZero() {
			t.revokedAt = now
		}
	}
}

func (s *Simulator) state(t *token, revoked bool) State {
	switch {
	case revoked:
		return Revoked
	case !t.expiresAt.After(s.now()):
		return Expired
	}
	if in := s.world.installation(t.installation.ID); in != nil && !in.suspendedAt.IsZero() {
		return Suspended
	}
	return Live
}

// Tokens are all that were ever made, oldest first.
func (s *Simulator) Tokens() []Token {
	s.tokens.mu.RLock()
	defer s.tokens.mu.RUnlock()
	list := make([]Token, len(s.tokens.made))
	for i, t := range s.tokens.made {
		list[i] = Token{
			SHA256: base64.StdEncoding.EncodeToString(t.hash[:]), State: s.state(t, !t.revokedAt.IsZero()),
			AppID: t.installation.AppID, InstallationID: t.installation.ID, Account: t.installation.Account,
			Permissions: maps.Clone(t.permissions), Repositories: t.names(),
			CreatedAt: t.createdAt, ExpiresAt: t.expiresAt, RevokedAt: t.revokedAt,
		}
	}
	return list
}

// Live is how many tokens work now, or will once they have replicated.
func (s *Simulator) Live() int {
	s.tokens.mu.RLock()
	defer s.tokens.mu.RUnlock()
	live := 0
	for _, t := range s.tokens.made {
		if s.state(t, !t.revokedAt.IsZero()) == Live {
			live++
		}
	}
	return live
}

// StateOf is the state of a token whose text the caller has.
func (s *Simulator) StateOf(secret string) State {
	t, revoked := s.tokens.find(secret)
	if t == nil {
		return Unknown
	}
	return s.state(t, revoked)
}
