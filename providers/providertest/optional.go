// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package providertest

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// testFinder: what was minted is found by its name until it is dead.
func testFinder(t *testing.T, b *bench) {
	c := b.connect(t)
	finder, ok := c.(providers.Finder)
	if !ok {
		t.Skip("tokens have no names there")
	}
	first, second := b.grant(c, b.site.Grant), b.grant(c, b.site.Grant)
	for _, g := range []providers.Grant{first, second} {
		_, err := b.tryMint(t.Context(), c, g)
		require.NoError(t, err)
	}
	require.Equal(t, []string{first.TokenID, second.TokenID}, b.found(t, finder, first.Mount(), finder.Place(first)))
	require.Equal(t, []string{first.TokenID, second.TokenID}, b.everywhere(t, finder, first.Mount()))
	require.Empty(t, b.everywhere(t, finder, "another"+first.Mount()), "the tokens of another mount")

	found, err := finder.Find(t.Context(), first.Mount(), finder.Place(first))
	require.NoError(t, err)
	handle := providers.Handle{Value: found[first.TokenID], MintedAt: b.settings.Now()}
	require.NoError(t, b.revoke(t.Context(), c, handle))
	require.Equal(t, []string{second.TokenID}, b.found(t, finder, first.Mount(), finder.Place(first)))
	b.requireNothingLive(t, c, first, "found")
}

// found are the ids of the tokens at a place.
func (b *bench) found(t *testing.T, finder providers.Finder, mount, place string) []string {
	t.Helper()
	found, err := finder.Find(t.Context(), mount, place)
	b.secrets.said(err)
	require.NoError(t, err)
	return slices.Sorted(maps.Keys(found))
}

// everywhere are the ids of the tokens at all places.
func (b *bench) everywhere(t *testing.T, finder providers.Finder, mount string) []string {
	t.Helper()
	places, err := finder.Places(t.Context(), mount)
	b.secrets.said(err)
	require.NoError(t, err)
	var ids []string
	for _, place := range places {
		ids = append(ids, b.found(t, finder, mount, place)...)
	}
	slices.Sort(ids)
	return ids
}

// testLostAnswer: when the platform has acted and its answer is lost, Mint fails
// as unavailable; a Finder finds what came of it.
func testLostAnswer(t *testing.T, b *bench) {
	n := b.countMint(t)
	for k := 1; k <= n; k++ {
		c := b.connect(t)
		g := b.grant(c, b.site.Grant)
		b.wire.arm(k, lose)
		token, err := b.tryMint(t.Context(), c, g)
		b.wire.disarm()
		require.Nil(t, token)
		require.Equal(t, fault.Unavailable, fault.KindOf(err), "request %d: %v", k, err)
		if _, ok := c.(providers.Finder); ok {
			b.requireNothingLive(t, c, g, "lost answer")
		}
	}
}

// testRetirer: what is kept for a subject goes, however often it is told to, and
// comes back when it is needed again.
func testRetirer(t *testing.T, b *bench) {
	c := b.connect(t)
	retirer, ok := c.(providers.Retirer)
	if !ok {
		t.Skip("nothing is kept for a role there")
	}
	subject := b.grant(c, b.site.Grant).Subject
	require.NoError(t, retirer.Retire(t.Context(), subject), "retiring what never was")
	for range 2 {
		_, handle := b.mint(t, c)
		require.NoError(t, b.revoke(t.Context(), c, handle))
		require.NoError(t, retirer.Retire(t.Context(), subject))
		require.NoError(t, retirer.Retire(t.Context(), subject))
	}
}

// testRotator: after a rotation the new credential works, and a rotation whose
// preparation fails leaves the old one working.
func testRotator(t *testing.T, b *bench) {
	c := b.connect(t)
	rotator, ok := c.(providers.Rotator)
	if !ok {
		t.Skip("the credential cannot be replaced through the platform's API")
	}
	broken := errors.New("storage is full")
	_, err := rotator.Rotate(t.Context(), func(fields map[string]string) error {
		b.addSecretFields(fields)
		return broken
	})
	b.secrets.said(err)
	if errors.Is(err, broken) {
		require.NoError(t, c.Verify(t.Context()), "the old credential is gone, and nobody knows the new one")
	} else {
		require.NoError(t, err, "Rotate fails, but not with the error of its preparation")
		t.Fatal("Rotate succeeded though its preparation failed")
	}
	_, handle := b.mint(t, c)
	fields, err := rotator.Rotate(t.Context(), nil)
	b.secrets.said(err)
	require.NoError(t, err)
	require.NotEmpty(t, fields)
	b.addSecretFields(fields)
	values := maps.Clone(b.settings.Values)
	maps.Copy(values, fields)
	require.NotEqual(t, b.settings.Values, values)
	b.settings.Values = values
	renewed := b.connect(t)
	require.NoError(t, renewed.Verify(t.Context()))
	require.NoError(t, b.revoke(t.Context(), renewed, handle), "a token from before the rotation")
	_, handle = b.mint(t, renewed)
	require.NoError(t, b.revoke(t.Context(), renewed, handle))
	err = c.Verify(t.Context())
	b.secrets.said(err)
	require.Equal(t, fault.Unauthorized, fault.KindOf(err), "the old credential still works: %v", err)
}

func (b *bench) addSecretFields(fields map[string]string) {
	for _, f := range b.platform.Fields {
		if f.Secret {
			b.secrets.add(fields[f.Name])
		}
	}
}
