// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	josejwt "github.com/go-jose/go-jose/v4/jwt"
	capjwt "github.com/hashicorp/cap/jwt"
	"github.com/hashicorp/go-hclog"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Leeway is by how much the issuer's clock and ours may differ. A token is accepted
// up to and including Identity.ExpiresAt plus Leeway: what is to be used once is
// remembered for longer than that.
const Leeway = 60 * time.Second

// DefaultFetchTimeout bounds the fetching of an issuer's keys.
const DefaultFetchTimeout = 5 * time.Second

// Options are what a verifier gets from outside. The zero value is usable.
type Options struct {
	// Now is the clock; time.Now where nil.
	Now func() time.Time
	// Logger hears of an issuer that does not answer; nobody where nil.
	Logger hclog.Logger
	// FetchTimeout bounds one fetching of keys; DefaultFetchTimeout where zero.
	FetchTimeout time.Duration
}

// Verifier verifies the tokens of one version of an issuer. It is safe for any
// number of goroutines at once, and needs no closing.
type Verifier struct {
	issuer Issuer
	keys   keyring
	now    func() time.Time
}

// Identity is a job's proven identity.
type Identity struct {
	// Claims are all that the token says.
	Claims Claims
	// ID is the token's own, of fixed length: the same for the same token and for
	// no other one. It says nothing of what is in the token.
	ID string
	// ExpiresAt is the token's exp.
	ExpiresAt time.Time
	// Issuer is the token's iss.
	Issuer string
	// Preset is that of the issuer's definition; may be empty.
	Preset string
}

// NewVerifier makes a verifier of an issuer's definition, which it completes. It
// does no I/O. Its errors are fault.Invalid with the field named.
func NewVerifier(issuer Issuer, o Options) (*Verifier, error) {
	issuer, err := issuer.Complete()
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.FetchTimeout <= 0 {
		o.FetchTimeout = DefaultFetchTimeout
	}
	keys, err := newKeyring(issuer, o)
	if err != nil {
		return nil, err
	}
	return &Verifier{issuer: issuer, keys: keys, now: o.Now}, nil
}

func newKeyring(issuer Issuer, o Options) (keyring, error) {
	if len(issuer.PublicKeys) > 0 {
		keys, err := parsePublicKeys(issuer.PublicKeys)
		return fixedKeys(keys), err
	}
	fetcher, err := newFetcher(issuer, o.FetchTimeout)
	if err != nil {
		return nil, err
	}
	return &remoteKeys{fetcher: fetcher, timeout: o.FetchTimeout, now: o.Now, logger: o.Logger}, nil
}

// Issuer is the completed definition.
func (v *Verifier) Issuer() Issuer { return v.issuer }

// Prove fetches the issuer's keys: fault.Invalid, with the field named, where they
// cannot be had.
func (v *Verifier) Prove(ctx context.Context) error { return v.keys.prove(ctx) }

// Verify proves an id_token and returns who it speaks for. Its errors are
// fault.Denied, naming the gate; fault.Unavailable where the issuer's keys are
// needed and cannot be had.
func (v *Verifier) Verify(ctx context.Context, raw string) (*Identity, error) {
	token, err := parseToken(raw)
	if err != nil {
		return nil, err
	}
	// What cannot pass is refused before its key is looked for, so that tokens of
	// other issuers cause no traffic. This can only refuse: that the claims are the
	// issuer's is for the validator to decide.
	if err := v.diagnose(token.claims); err != nil {
		return nil, err
	}
	validator, err := capjwt.NewValidator(signatureCheck{token: token, keys: v.keys})
	if err != nil {
		return nil, err
	}
	if _, err := validator.Validate(ctx, token.raw, v.expected()); err != nil {
		if known, ok := errors.AsType[*fault.Error](err); ok {
			return nil, known
		}
		// The library's own words are not repeated: some are Vault Agent's too.
		return nil, denied("malformed id_token", "one of iss, sub, aud, exp, nbf, iat and jti is not what RFC 7519 says it is")
	}
	return v.identity(token), nil
}

// expected is what the library holds a token against.
func (v *Verifier) expected() capjwt.Expected {
	return capjwt.Expected{
		Issuer:            v.issuer.BoundIssuer,
		Audiences:         v.issuer.Audiences,
		SigningAlgorithms: algorithms(),
		ClockSkewLeeway:   Leeway,
		// Without iat and nbf a token counts as begun long ago, not 150 s before its end.
		NotBeforeLeeway: math.MaxInt64,
		Now:             v.now,
	}
}

// identity is who a token speaks for that has passed.
func (v *Verifier) identity(token *idToken) *Identity {
	expires, _ := token.claims.time("exp")
	issuer, _ := token.claims.Text("iss")
	return &Identity{
		Claims:    token.claims,
		ID:        token.id(),
		ExpiresAt: expires,
		Issuer:    issuer,
		Preset:    v.issuer.Preset,
	}
}

// diagnose names the gate that claims do not pass. It asks for an exp, which the
// library would make up.
func (v *Verifier) diagnose(claims Claims) error {
	if want := v.issuer.BoundIssuer; want != "" {
		if iss, ok := claims.Text("iss"); !ok || iss != want {
			return denied("wrong issuer", "claim iss %s; allowed: %s", claims.describe("iss"), show(want))
		}
	}
	if audiences := claims.texts("aud"); !slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(v.issuer.Audiences, a) }) {
		return denied("wrong audience", "the id_token is for %s; allowed: %s", orNobody(audiences), showAll(v.issuer.Audiences))
	}
	now := v.now()
	expires, ok := claims.time("exp")
	switch {
	case !ok:
		return denied("wrong time", "claim exp, which must be a time, %s", claims.describe("exp"))
	case now.Add(-Leeway).After(expires):
		return denied("expired", "the id_token ended at %s", expires.Format(time.RFC3339))
	}
	for _, claim := range []string{"nbf", "iat"} {
		if from, ok := claims.time(claim); ok && now.Add(Leeway).Before(from) {
			return denied("not yet valid", "claim %s is %s, and it is %s here", claim, from.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

func orNobody(audiences []string) string {
	if len(audiences) == 0 {
		return "nobody"
	}
	return showAll(audiences)
}

// lastTime is the last second that RFC 3339 can write.
var lastTime = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// time reads a claim that is a NumericDate, as the library does.
func (c Claims) time(claim string) (time.Time, bool) {
	text, ok := c.number(claim)
	if !ok {
		return time.Time{}, false
	}
	var date josejwt.NumericDate
	if err := date.UnmarshalJSON([]byte(text)); err != nil || date.Time().After(lastTime) {
		return time.Time{}, false
	}
	return date.Time().UTC(), true
}

// signatureCheck is the library's view of our keys, for one token.
type signatureCheck struct {
	token *idToken
	keys  keyring
}

// VerifySignature implements the library's KeySet.
func (s signatureCheck) VerifySignature(ctx context.Context, _ string) (map[string]any, error) {
	if err := s.keys.verify(ctx, s.token.signed); err != nil {
		return nil, err
	}
	return s.token.claims.values, nil
}
