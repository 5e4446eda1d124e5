// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// patience bounds a fetch in these tests.
const patience = 2 * time.Second

// world is an issuer, its verifier and their common clock.
type world struct {
	*testing.T
	clock    *clock
	issuer   *identitytest.Issuer
	verifier *identity.Verifier
}

func newWorld(t *testing.T, fetchTimeout time.Duration) *world {
	t.Helper()
	now := newClock()
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256, Now: now.Now})
	v := verifier(t, discovering(issuer), identity.Options{Now: now.Now, FetchTimeout: fetchTimeout})
	return &world{T: t, clock: now, issuer: issuer, verifier: v}
}

// verify presents a token that was minted now.
func (w *world) verify() error {
	w.Helper()
	_, err := w.verifier.Verify(w.Context(), w.issuer.Mint(identitytest.GitHub()))
	return err
}

func TestKeysAreFetchedOnce(t *testing.T) {
	w := newWorld(t, patience)
	for range 5 {
		require.NoError(t, w.verify())
	}
	require.Equal(t, 1, w.issuer.Fetches())
	require.Equal(t, 1, w.issuer.Discoveries())
}

func TestManyFirstComersShareOneFetch(t *testing.T) {
	w := newWorld(t, patience)
	token := w.issuer.Mint(identitytest.GitHub())
	var all sync.WaitGroup
	errs := make(chan error, 50)
	for range cap(errs) {
		all.Go(func() {
			_, err := w.verifier.Verify(t.Context(), token)
			errs <- err
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, 1, w.issuer.Fetches())
}

func TestARotatedKeyIsFoundAtOnce(t *testing.T) {
	w := newWorld(t, patience)
	require.NoError(t, w.verify())
	w.issuer.Rotate()
	require.NoError(t, w.verify())
	require.Equal(t, 2, w.issuer.Fetches())

	w.clock.Advance(identity.KeysCoolDown)
	w.issuer.Overlap()
	require.NoError(t, w.verify())
	require.Equal(t, 3, w.issuer.Fetches())
}

func TestAKeyThatWasWithdrawnIsNotTrustedForLong(t *testing.T) {
	w := newWorld(t, patience)
	require.NoError(t, w.verify())
	old := w.issuer.Mint(identitytest.GitHub().With(identitytest.Claims{"exp": w.clock.Now().Add(time.Hour).Unix()}))
	w.issuer.Rotate()
	w.clock.Advance(identity.KeysFreshFor)
	_, err := w.verifier.Verify(t.Context(), old)
	requireFault(t, err, fault.Denied, "unknown key")
	require.Equal(t, 2, w.issuer.Fetches(), "keys that came just now are not fetched again")
}

func TestNoStormOfUnknownKeys(t *testing.T) {
	w := newWorld(t, patience)
	require.NoError(t, w.verify())
	payload := []byte(fmt.Sprintf(`{"iss":%q,"aud":%q,"exp":%d}`, w.issuer.URL(), identitytest.Audience, w.clock.Now().Add(time.Hour).Unix()))
	storm := func() {
		var all sync.WaitGroup
		for n := range 100 {
			token := w.issuer.MintRaw(payload, map[jose.HeaderKey]any{"kid": fmt.Sprint("made-up-", n)})
			all.Go(func() {
				_, err := w.verifier.Verify(t.Context(), token)
				requireUnknown(t, err)
			})
		}
		all.Wait()
	}
	storm()
	require.Equal(t, 2, w.issuer.Fetches())
	w.clock.Advance(identity.KeysCoolDown - time.Nanosecond)
	storm()
	require.Equal(t, 2, w.issuer.Fetches(), "not within the cool-down")
	w.clock.Advance(time.Nanosecond)
	storm()
	require.Equal(t, 3, w.issuer.Fetches())
	require.NoError(t, w.verify(), "honest jobs pass all the while")
}

// requireUnknown is for goroutines, where a test must not be ended.
func requireUnknown(t *testing.T, err error) {
	if !fault.Is(err, fault.Denied) {
		t.Errorf("an unknown key must be denied: %v", err)
	}
}

func TestJobsThatWaitForARotatedKeyAllPass(t *testing.T) {
	w := newWorld(t, patience)
	require.NoError(t, w.verify())
	w.issuer.Rotate()
	token := w.issuer.Mint(identitytest.GitHub())
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := w.verifier.Verify(t.Context(), token); err != nil {
				t.Errorf("a job of the new key: %v", err)
			}
		})
	}
	all.Wait()
	require.Equal(t, 2, w.issuer.Fetches())
}

func TestLastGoodKeysWhileTheIssuerIsDown(t *testing.T) {
	for name, failure := range map[string]identitytest.Failure{
		"down": identitytest.Down, "broken": identitytest.Broken, "nonsense": identitytest.Nonsense, "empty": identitytest.Empty,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, patience)
			require.NoError(t, w.verify())
			w.issuer.Fail(failure)

			w.clock.Advance(identity.KeysStaleFor - time.Second)
			require.NoError(t, w.verify())
			w.clock.Advance(time.Second)
			requireFault(t, w.verify(), fault.Unavailable, `issuer "local"`)

			w.issuer.Fail(identitytest.Healthy)
			w.clock.Advance(time.Second)
			require.NoError(t, w.verify())
		})
	}
}

func TestAnIssuerThatIsDownIsTriedAgainInTheBackground(t *testing.T) {
	w := newWorld(t, patience)
	require.NoError(t, w.verify())
	w.issuer.Fail(identitytest.Down)
	w.clock.Advance(identity.KeysFreshFor)
	for range 20 {
		require.NoError(t, w.verify())
	}
	require.Equal(t, 2, w.issuer.Discoveries(), "one try within the cool-down")

	w.issuer.Fail(identitytest.Healthy)
	w.clock.Advance(identity.KeysCoolDown)
	require.NoError(t, w.verify())
	require.Eventually(t, func() bool { return w.issuer.Fetches() == 2 }, patience, time.Millisecond)
}

func TestAHangingIssuerHoldsUpOnlyTheFirst(t *testing.T) {
	w := newWorld(t, 300*time.Millisecond)
	require.NoError(t, w.verify())
	w.issuer.Fail(identitytest.Hanging)
	w.clock.Advance(identity.KeysFreshFor)
	require.NoError(t, w.verify(), "the first waits, and goes on with the keys that there are")

	w.clock.Advance(identity.KeysCoolDown)
	started := time.Now()
	require.NoError(t, w.verify())
	require.Less(t, time.Since(started), 200*time.Millisecond)
	require.Eventually(t, func() bool { return w.issuer.Discoveries() == 3 }, patience, time.Millisecond)
}

func TestAnUnknownKeyOfAnIssuerThatIsDownIsNobodysFault(t *testing.T) {
	w := newWorld(t, patience)
	require.NoError(t, w.verify())
	w.issuer.Rotate()
	w.issuer.Fail(identitytest.Down)
	requireFault(t, w.verify(), fault.Unavailable, "newer ones cannot be fetched")
}

func TestAnIssuerThatWasNeverReached(t *testing.T) {
	w := newWorld(t, patience)
	w.issuer.Fail(identitytest.Broken)
	requireFault(t, w.verify(), fault.Unavailable, "answers 503")
	requireFault(t, w.verify(), fault.Unavailable, "answers 503")
	require.Equal(t, 1, w.issuer.Discoveries(), "two at the same time are one try")
	w.issuer.Fail(identitytest.Healthy)
	w.clock.Advance(time.Second)
	require.NoError(t, w.verify())
}

// An issuer that answers with no key has withdrawn them all: that is no outage.
func TestWithdrawnKeysAreGone(t *testing.T) {
	w := newWorld(t, patience)
	require.NoError(t, w.verify())
	w.issuer.SetKeySet(keySet())
	w.clock.Advance(identity.KeysFreshFor)
	requireFault(t, w.verify(), fault.Denied, "unknown key")
	requireFault(t, w.verifier.Prove(t.Context()), fault.Invalid, "has no key that can verify a signature")
}

func TestProveNamesTheField(t *testing.T) {
	for name, failure := range map[string]identitytest.Failure{
		"down": identitytest.Down, "broken": identitytest.Broken, "nonsense": identitytest.Nonsense, "empty": identitytest.Empty,
		"endless": identitytest.Endless, "elsewhere": identitytest.Elsewhere, "hanging": identitytest.Hanging,
	} {
		t.Run(name, func(t *testing.T) {
			issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256})
			issuer.Fail(failure)
			o := identity.Options{FetchTimeout: patience}
			if failure == identitytest.Hanging {
				o.FetchTimeout = 50 * time.Millisecond
			}
			requireFault(t, verifier(t, discovering(issuer), o).Prove(t.Context()), fault.Invalid, "discovery_url: ")

			byKeys := identity.Issuer{Name: "local", JWKSURL: issuer.KeysURL(), Audiences: []string{"vault"}}
			requireFault(t, verifier(t, byKeys, o).Prove(t.Context()), fault.Invalid, "jwks_url: ")
		})
	}
}

func TestTheDocumentMustSpeakForTheIssuer(t *testing.T) {
	secure := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256, TLS: true})
	plain := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256})
	for _, test := range []struct {
		name, field string
		value       any
		bound       string
		words       string // empty: it is accepted
	}{
		{"its own", "issuer", secure.URL(), "", ""},
		{"a neighbour's", "issuer", secure.URL() + "/mallory", "", "/mallory"},
		{"none", "issuer", "", "", "is that of issuer"},
		{"its own, tokens are another's", "issuer", secure.URL(), "https://issuer.example.com", ""},
		{"the bound one's", "issuer", "https://issuer.example.com", "https://issuer.example.com", ""},
		{"neither", "issuer", "https://mallory.example.com", "https://issuer.example.com", "https://mallory.example.com"},
		{"keys over http", "jwks_uri", "http://keys.example.com/jwks", "", "must be https"},
		{"keys over http on loopback, document over https", "jwks_uri", plain.KeysURL(), "", "must be https"},
		{"keys in a file", "jwks_uri", "file:///etc/passwd", "", "jwks_uri"},
		{"keys nowhere", "jwks_uri", "", "", "jwks_uri"},
		{"keys that are a number", "jwks_uri", 7, "", "not a discovery document"},
	} {
		t.Run(test.name, func(t *testing.T) {
			secure.SetDocument("issuer", secure.URL())
			secure.SetDocument("jwks_uri", secure.KeysURL())
			secure.SetDocument(test.field, test.value)
			definition := discovering(secure)
			definition.BoundIssuer = test.bound
			err := verifier(t, definition, identity.Options{}).Prove(t.Context())
			if test.words == "" {
				require.NoError(t, err)
				return
			}
			requireFault(t, err, fault.Invalid, "discovery_url: ")
			require.Contains(t, err.Error(), test.words)
		})
	}
}

func TestAPrivateAuthorityIsTrustedOnlyWhenWritten(t *testing.T) {
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256, TLS: true})
	definition := discovering(issuer)
	require.NoError(t, verifier(t, definition, identity.Options{}).Prove(t.Context()))
	definition.CACert = ""
	requireFault(t, verifier(t, definition, identity.Options{}).Prove(t.Context()), fault.Invalid, "ca_cert")
}
