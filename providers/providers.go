// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package providers is the contract between the engine and the platforms whose
// tokens it hands out. A provider is our code for one platform: a folder with a
// function that returns a Platform. It declares its config fields and its
// permission vocabulary, and makes and kills tokens. It knows nothing of roles,
// leases or Vault's storage.
//
// providertest holds what is promised here as a suite that each provider passes.
package providers

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Platform is what a provider says of itself, before any connection is made.
type Platform struct {
	// Name is the value of `provider` in a config and the name of the ceiling's
	// field in a stage: "github".
	Name string
	// Title is the platform's name as people write it: "GitHub".
	Title string
	// DefaultBaseURL is where a config that names none connects to; empty where
	// every config must name one.
	DefaultBaseURL string
	// LongestLife is how long this platform's tokens live at the most; zero where the
	// platform sets no end that is the same for all.
	LongestLife time.Duration
	// Fields are the config fields that this platform needs beside the common
	// ones, in the order in which documentation shows them.
	Fields []Field
	// Ceilings are the built-in ones: for each stage, the permissions that a role
	// of that stage may have at most.
	Ceilings map[string][]string
	// Vocabulary judges permissions. It does no I/O.
	Vocabulary Vocabulary
	// Connect makes a connection from settings that have passed the common checks.
	// It does no I/O. Its errors are fault.Invalid with the field named.
	Connect func(Settings) (Connection, error)
}

// Field is one field of a config.
type Field struct {
	Name        string
	Description string
	// Required fields must not be empty.
	Required bool
	// Secret fields are stored seal-wrapped and never read back: a read shows
	// <name>_sha256 and <name>_set_at instead.
	Secret bool
	// Guessable secrets are such that people may have chosen: a password. Their
	// fingerprint is keyed with a random key of the config's own. It still tells a
	// change, and nobody can try guesses against it.
	Guessable bool
	// Fingerprint is the hex SHA-256 that a read shows for a secret. It defaults
	// to that of the value's bytes; a key is better known by its public half.
	Fingerprint func(value string) string
}

// Settings are what a connection is made of. They are immutable.
type Settings struct {
	// BaseURL is absolute, https (http only on loopback), without user, query,
	// fragment or last slash. Connect may bring it to the platform's own form;
	// Connection.BaseURL says what came of it.
	BaseURL string
	// Values are the platform's own fields by name, secrets included.
	Values map[string]string
	// Client carries out every request: it trusts the config's ca_cert, bounds a
	// request by request_timeout, bounds an answer's size, and never follows a
	// redirect to another host.
	Client *http.Client
	Now    func() time.Time
	Logger hclog.Logger
}

// Vocabulary is the set of permissions that a platform knows.
type Vocabulary interface {
	// Check returns fault.Invalid, with the reason and what is allowed, for a
	// permission that this platform does not have or that no token of ours may
	// ever hold.
	Check(Permission) error
	// Destructive reports whether the permission can destroy or take over more
	// than the code and artifacts of its repositories: such a role needs approval.
	Destructive(Permission) bool
}

// Connection makes and kills tokens at one platform with one credential.
//
// It is immutable and safe for any number of goroutines at once. Each method
// obeys its context, holds no lock across I/O, and returns errors as package
// fault describes: Refused, Unauthorized, Nonsense, Limited (with the wait that
// the platform signalled), Unavailable, Unproven (Revoke alone). None of them
// holds a secret.
type Connection interface {
	// BaseURL is the platform's API address in its one canonical spelling. Tokens
	// made through this connection are revoked there.
	BaseURL() string
	// Verify proves that the platform answers and accepts the credential.
	Verify(ctx context.Context) error
	// Check says, without I/O, whether a grant of this shape can be made at all
	// over this connection: fault.Invalid with the field named where it cannot.
	// Repositories in it may be patterns.
	Check(Grant) error
	// Mint makes one token that can do what the grant says and nothing more. The
	// answer says what the platform really granted; the engine compares. When Mint
	// fails after the platform may have made a token, it has tried to kill it
	// within the context's time, or the platform has a Finder.
	Mint(ctx context.Context, g Grant) (*Token, error)
	// Revoke returns nil when the token is dead, whoever killed it and however
	// often it is called. It never returns nil on a guess.
	Revoke(ctx context.Context, h Handle) error
}

// Grant is what one token is asked to allow: never empty, never "everything".
type Grant struct {
	// TokenID names the token in the ledger; platforms that let tokens have names
	// use it in theirs. Empty where the platform has no names (Platform without
	// Finder): the engine then derives the id from the token's hash.
	TokenID string
	// Subject names the mount and role that the token is for (mount/role), for
	// platforms where an account must own it. It is stable as long as the role is.
	Subject string
	// Account is the owner of all the repositories.
	Account string
	// Repositories are names below Account, at least one, no duplicates.
	Repositories []string
	// Narrowed: the repositories are fewer than the role's, or named by a pattern
	// or a claim.
	Narrowed bool
	// Permissions, at least one, no resource twice.
	Permissions []Permission
	// ExpiresAt is when the token shall end. A platform that cannot end it then
	// ends it as soon after as it can; Token.ExpiresAt says when.
	ExpiresAt time.Time
}

// Mount is the mount that the grant's subject belongs to.
func (g Grant) Mount() string {
	mount, _, _ := strings.Cut(g.Subject, "/")
	return mount
}

// Token is a token as the platform made it.
type Token struct {
	// Secret is the token itself.
	Secret string
	// Username goes with the token for git over HTTPS.
	Username string
	// ExpiresAt is the platform's own end of the token. Zero where the platform
	// would never end it by itself.
	ExpiresAt time.Time
	// Repositories and Permissions are what the platform says it granted.
	Repositories []string
	Permissions  []Permission
	// Handle is what Revoke needs. It is opaque to the engine, which keeps it
	// seal-wrapped until the token is dead.
	Handle string
}

// Handle is what the engine gives back to revoke a token.
type Handle struct {
	// Value is Token.Handle.
	Value string
	// MintedAt is when the token was made: a platform may answer "unknown" for a
	// token that has not reached all its servers yet.
	MintedAt time.Time
}

// Learner is implemented by connections whose Check depends on what the server
// says of itself.
type Learner interface {
	// Learn asks the server, once, so that Check knows from then on.
	Learn(ctx context.Context) error
}

// Finder is implemented by connections to platforms where tokens have names. It
// finds tokens whose making was never confirmed to us, or that an older snapshot
// has forgotten. A place is where tokens can be: an account, a project.
type Finder interface {
	// Place is where a token of that grant is. It does no I/O.
	Place(g Grant) string
	// Places are all those where tokens of the mount can be, whoever made them and
	// whatever roles there were.
	Places(ctx context.Context, mount string) ([]string, error)
	// Find returns the handles of all live tokens at a place that their names mark as
	// the mount's, by token id. A place that is gone has none, or is fault.Refused.
	Find(ctx context.Context, mount, place string) (map[string]string, error)
}

// Observer is implemented by connections to platforms that say when a token was
// last used.
type Observer interface {
	// LastUsed is the platform's own time of last use; zero when never used or
	// not known any more.
	LastUsed(ctx context.Context, h Handle) (time.Time, error)
}

// Rotator is implemented by connections whose platform can replace the credential
// that the connection itself uses.
type Rotator interface {
	// Rotate makes the platform replace the credential and returns the fields that
	// changed. Before it does anything that could cost the old credential its life
	// it calls prepare with fields to fall back on, and again whenever it knows of
	// newer ones; the last call wins, and an error from it ends the rotation. Rotate
	// may return fields together with an error: they work and must be kept.
	//
	// After a crash in between, Verify over the prepared fields, and else over the
	// old ones, tells which are good.
	Rotate(ctx context.Context, prepare func(fields map[string]string) error) (map[string]string, error)
}

// Expirer is implemented by connections whose own credential has an end.
type Expirer interface {
	// Expires is when the connection's own credential ends; zero is never.
	Expires(ctx context.Context) (time.Time, error)
}

// Retirer is implemented by connections that keep something at the platform for
// each role, such as an account, which must go when the role does.
type Retirer interface {
	// Retire removes what was kept for the subject. It is idempotent. While a token
	// lives that needs it, nothing is removed and the error is fault.Conflict.
	Retire(ctx context.Context, subject string) error
}
