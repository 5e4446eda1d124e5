// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package issuers_test

import (
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/issuers"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func newService(t *testing.T) (*issuers.Service, logical.Storage) {
	t.Helper()
	storage := &logical.InmemStorage{}
	return issuers.New(storage, time.Now, hclog.NewNullLogger()), storage
}

func definition(issuer *identitytest.Issuer) *identity.Issuer {
	return &identity.Issuer{Preset: identity.GitHubActions, DiscoveryURL: issuer.URL(), Audiences: []string{identitytest.Audience}}
}

func verifier(t *testing.T, s *issuers.Service) *identity.Verifier {
	t.Helper()
	v, err := s.Verifier(t.Context(), "ci")
	require.NoError(t, err)
	return v
}

func TestAVersionOfAnIssuerHasOneVerifier(t *testing.T) {
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256})
	s, _ := newService(t)
	require.NoError(t, s.Write(t.Context(), "ci", nil, definition(issuer), true))
	first := verifier(t, s)
	for range 3 {
		require.Same(t, first, verifier(t, s))
		_, err := first.Verify(t.Context(), issuer.Mint(identitytest.GitHub()))
		require.NoError(t, err)
	}
	require.Equal(t, 2, issuer.Fetches(), "once to prove it, once for all tokens")

	old, err := s.Get(t.Context(), "ci")
	require.NoError(t, err)
	changed := definition(issuer)
	changed.Audiences = []string{"another"}
	require.NoError(t, s.Write(t.Context(), "ci", old, changed, false))
	require.NotSame(t, first, verifier(t, s))
	_, err = verifier(t, s).Verify(t.Context(), issuer.Mint(identitytest.GitHub()))
	require.ErrorContains(t, err, "wrong audience", "what was changed holds for the next token")
}

func TestAnIssuerIsProvenWhenItIsWritten(t *testing.T) {
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256})
	s, _ := newService(t)
	issuer.Fail(identitytest.Down)
	err := s.Write(t.Context(), "ci", nil, definition(issuer), true)
	require.Equal(t, fault.Invalid, fault.KindOf(err))
	require.ErrorContains(t, err, "discovery_url: the keys cannot be fetched")
	names, err := s.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, names, "nothing was stored")

	require.NoError(t, s.Write(t.Context(), "ci", nil, definition(issuer), false), "unless that was not wanted")
	require.Error(t, s.Write(t.Context(), "none", nil, &identity.Issuer{Audiences: []string{"x"}}, false), "what makes no sense is refused all the same")
	require.Equal(t, fault.Conflict, fault.KindOf(s.Write(t.Context(), "ci", nil, definition(issuer), false)), "somebody was faster")
}

func TestAnIssuerThatIsNoMore(t *testing.T) {
	issuer := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256})
	s, _ := newService(t)
	require.NoError(t, s.Write(t.Context(), "ci", nil, definition(issuer), true))
	require.NoError(t, s.Delete(t.Context(), "ci"))
	_, err := s.Verifier(t.Context(), "ci")
	require.Equal(t, fault.Denied, fault.KindOf(err))
	require.ErrorContains(t, err, `identity: issuer "ci" is no more`)
}

func TestAnotherNodesChangeIsSeen(t *testing.T) {
	ours, theirs := identitytest.New(t, identitytest.Options{Algorithm: jose.ES256}), identitytest.New(t, identitytest.Options{Algorithm: jose.ES256})
	s, storage := newService(t)
	require.NoError(t, s.Write(t.Context(), "ci", nil, definition(ours), true))
	require.Equal(t, ours.URL(), verifier(t, s).Issuer().BoundIssuer)

	changed := definition(theirs)
	changed.Name = "ci"
	require.NoError(t, store.Put(t.Context(), storage, store.Issuers+"ci", changed))
	s.Forget(store.Issuers + "ci")
	require.Equal(t, theirs.URL(), verifier(t, s).Issuer().BoundIssuer)
}
