// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"context"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/go-hclog"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

const (
	// KeysFreshFor is how long fetched keys are used without asking again: a key
	// that the issuer withdrew is trusted no longer than that while it answers.
	KeysFreshFor = 10 * time.Minute
	// KeysStaleFor is how long they are used while it does not answer.
	KeysStaleFor = 6 * time.Hour
	// KeysCoolDown is the least time between two fetches for unknown key ids, which
	// anybody can make up, and between two tries at an issuer that is down.
	KeysCoolDown = 10 * time.Second
	// keysRetry is the same where there are no keys to go on with.
	keysRetry = time.Second
)

// keyring holds the keys of one issuer.
type keyring interface {
	// verify returns nil when one of the keys made the token's signature.
	verify(ctx context.Context, token *jose.JSONWebSignature) error
	// prove fetches the keys now: fault.Invalid, with the field named, where that
	// does not work.
	prove(ctx context.Context) error
}

// fixedKeys are keys that an operator wrote.
type fixedKeys []jose.JSONWebKey

func (k fixedKeys) verify(_ context.Context, token *jose.JSONWebSignature) error {
	if made, _ := verifyWith(k, token); !made {
		return wrongSignature()
	}
	return nil
}

func (k fixedKeys) prove(context.Context) error { return nil }

func wrongSignature() error {
	return denied("wrong signature", "no key of the issuer made it")
}

// verifyWith tries the keys that the token's key id leaves. made is whether one of
// them made the signature, known whether one has that very id.
func verifyWith(keys []jose.JSONWebKey, token *jose.JSONWebSignature) (made, known bool) {
	header := token.Signatures[0].Header
	for _, key := range keys {
		if key.KeyID != "" && header.KeyID != "" && key.KeyID != header.KeyID {
			continue
		}
		known = known || key.KeyID != "" && key.KeyID == header.KeyID
		if key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		if _, err := token.Verify(key.Key); err == nil {
			return true, known
		}
	}
	return false, known
}

// remoteKeys are an issuer's published keys. They are fetched when first needed,
// when they are no longer fresh and, under a cool-down, when a token names one that
// is not among them; never twice at once. Nothing is held across I/O.
type remoteKeys struct {
	fetcher *fetcher
	timeout time.Duration
	now     func() time.Time
	logger  hclog.Logger

	mu     sync.Mutex
	known  keysState
	flight chan struct{} // closed when the fetch under way ends; nil when none is
}

// keysState is what the last fetches brought.
type keysState struct {
	keys    []jose.JSONWebKey
	version int       // counts the fetches that succeeded
	fetched time.Time // when the last of them did
	tried   time.Time // when the last fetch ended
	sought  time.Time // when an unknown key id last caused one
	err     error     // of the last fetch
}

func (s *keysState) usable(now time.Time) bool {
	return s.version > 0 && now.Sub(s.fetched) < KeysStaleFor
}

// reason is why keys are fetched.
type reason int

const (
	aged    reason = iota // there are none, or they are no longer fresh
	unknown               // a token names a key that is not among them
	asked                 // an operator wants to know whether it works
)

// due reports whether keys are to be fetched now.
func (s *keysState) due(why reason, now time.Time) bool {
	switch why {
	case aged:
		if s.version > 0 && now.Sub(s.fetched) < KeysFreshFor {
			return false
		}
		wait := KeysCoolDown
		if !s.usable(now) {
			wait = keysRetry
		}
		return s.err == nil || now.Sub(s.tried) >= wait
	case unknown:
		return s.sought.IsZero() || now.Sub(s.sought) >= KeysCoolDown
	default:
		return true
	}
}

func (r *remoteKeys) verify(ctx context.Context, token *jose.JSONWebSignature) error {
	before := r.state().version
	state, err := r.refresh(ctx, aged)
	if err != nil {
		return err
	}
	if !state.usable(r.now()) {
		return fault.New(fault.Unavailable, "%s: there are no keys of it to verify with: %w", r.fetcher.who(), state.err)
	}
	made, known := verifyWith(state.keys, token)
	// Keys that came just now are the newest that there are.
	if !made && !known && state.version == before {
		if state, err = r.refresh(ctx, unknown); err != nil {
			return err
		}
		made, known = verifyWith(state.keys, token)
	}
	switch {
	case made:
		return nil
	case known:
		return wrongSignature()
	case state.err != nil:
		return fault.New(fault.Unavailable, "%s: the id_token's key is not among those known, and newer ones cannot be fetched: %w", r.fetcher.who(), state.err)
	default:
		return denied("unknown key", "the issuer has none of the id %s; its keys were fetched %s ago and are fetched for an unknown one every %s at most",
			show(token.Signatures[0].Header.KeyID), r.now().Sub(state.fetched).Round(time.Second), KeysCoolDown)
	}
}

func (r *remoteKeys) prove(ctx context.Context) error {
	state, err := r.refresh(ctx, asked)
	if err != nil {
		return err
	}
	switch field := r.fetcher.field(); {
	case state.err != nil:
		return fault.InvalidField(field, "the keys cannot be fetched: %w", state.err)
	case len(state.keys) == 0:
		return fault.InvalidField(field, "has no key that can verify a signature")
	}
	return nil
}

func (r *remoteKeys) state() keysState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known
}

// refresh fetches when that is due, or waits for the fetch that is under way, and
// returns what is known then. A caller who has usable keys does not wait for an
// issuer that was down the last time.
func (r *remoteKeys) refresh(ctx context.Context, why reason) (keysState, error) {
	r.mu.Lock()
	now, state := r.now(), r.known
	underWay := r.flight != nil && (why != aged || !state.usable(now))
	if !underWay && !state.due(why, now) {
		r.mu.Unlock()
		return state, nil
	}
	if r.flight == nil {
		if why == unknown {
			r.known.sought = now
		}
		r.flight = make(chan struct{})
		go r.fetch(r.flight)
	}
	flight := r.flight
	r.mu.Unlock()
	if why == aged && state.usable(now) && state.err != nil {
		return state, nil // it is the last fetch's, and the keys are still good
	}
	select {
	case <-flight:
		return r.state(), nil
	case <-ctx.Done():
		return keysState{}, fault.New(fault.Unavailable, "%s: its keys did not come in time: %w", r.fetcher.who(), ctx.Err())
	}
}

// fetch is the one flight. It is bounded by its own time and not by that of a
// caller: others wait for it too.
func (r *remoteKeys) fetch(flight chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	defer cancel()
	keys, err := r.fetcher.keys(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known.tried, r.known.err = r.now(), err
	if err == nil {
		r.known.keys, r.known.fetched = keys, r.known.tried
		r.known.version++
	} else {
		r.logger.Warn("the issuer's keys cannot be fetched", "issuer", r.fetcher.issuer.Name, "keys_from", r.known.fetched, "error", err)
	}
	r.flight = nil
	close(flight)
}
