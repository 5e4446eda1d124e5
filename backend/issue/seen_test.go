// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package issue

import (
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// jobToken is a job's proven token that ends at the given time.
func jobToken(id string, ends time.Time) *identity.Identity {
	return &identity.Identity{ID: id, ExpiresAt: ends}
}

func TestAJobTokenHasOneCredential(t *testing.T) {
	s := newSeen(&logical.InmemStorage{})
	token := jobToken("one", time.Date(2030, 5, 6, 7, 8, 9, 0, time.UTC))
	issued := make(chan bool, 50)
	var racers sync.WaitGroup
	for range 50 {
		racers.Go(func() {
			if s.check(t.Context(), token) != nil {
				return
			}
			release, err := s.claim(t.Context(), token)
			if err != nil {
				return
			}
			defer release()
			if s.burn(t.Context(), token) == nil {
				issued <- true
			}
		})
	}
	racers.Wait()
	require.Len(t, issued, 1)
	for _, err := range []error{s.check(t.Context(), token), claimError(t, s, token)} {
		require.ErrorContains(t, err, "this id_token has had its credential")
		require.Equal(t, fault.Denied, fault.KindOf(err))
	}
	require.NoError(t, s.check(t.Context(), jobToken("two", token.ExpiresAt)), "another token is another one")
}

func claimError(t *testing.T, s *seen, token *identity.Identity) error {
	t.Helper()
	_, err := s.claim(t.Context(), token)
	return err
}

func TestAMintThatFailsLeavesTheJobTokenUnused(t *testing.T) {
	s := newSeen(&logical.InmemStorage{})
	token := jobToken("one", time.Date(2030, 5, 6, 7, 8, 9, 0, time.UTC))
	release, err := s.claim(t.Context(), token)
	require.NoError(t, err)
	require.ErrorContains(t, claimError(t, s, token), "is being used this moment")
	release()

	release, err = s.claim(t.Context(), token)
	require.NoError(t, err, "the platform failed before anything was made")
	require.NoError(t, s.burn(t.Context(), token))
	require.NoError(t, s.restore(t.Context(), token))
	release()
	require.NoError(t, claimError(t, s, token), "its record could not be written")
}

// TestAJobTokenIsRememberedAsLongAsItPasses walks through the whole life of tokens
// that end around the turn of an hour.
func TestAJobTokenIsRememberedAsLongAsItPasses(t *testing.T) {
	for _, ends := range []time.Time{
		time.Date(2030, 5, 6, 7, 0, 0, 0, time.UTC), time.Date(2030, 5, 6, 7, 58, 59, 0, time.UTC),
		time.Date(2030, 5, 6, 7, 59, 0, 0, time.UTC), time.Date(2030, 5, 6, 7, 59, 59, 999, time.UTC),
		time.Date(2030, 12, 31, 23, 59, 30, 0, time.UTC), time.Date(2030, 5, 6, 9, 30, 0, 0, time.FixedZone("east", 7200)),
	} {
		storage := &logical.InmemStorage{}
		now := ends.Add(-5 * time.Minute)
		s := &Service{storage: storage, now: func() time.Time { return now }, seen: newSeen(storage)}
		token := jobToken("one", ends)
		require.NoError(t, s.seen.burn(t.Context(), token))
		for ; !now.After(ends.Add(identity.Leeway)); now = now.Add(10 * time.Second) {
			require.NoError(t, s.TidySeen(t.Context()))
			require.Error(t, s.seen.check(t.Context(), token), "%s, token until %s", now, ends)
		}
		now = ends.Add(3 * time.Hour)
		require.NoError(t, s.TidySeen(t.Context()))
		left, err := store.List(t.Context(), storage, store.Seen)
		require.NoError(t, err)
		require.Empty(t, left, "and no longer than it must be")
	}
}
