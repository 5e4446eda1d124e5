// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
)

func TestWhatIsNotThereIsLookedForOnce(t *testing.T) {
	table, s := newTable(t)
	for range 3 {
		none, err := table.Get(t.Context(), "one")
		require.NoError(t, err)
		require.Nil(t, none)
	}
	require.EqualValues(t, 1, s.reads.Load())

	require.NoError(t, store.Put(t.Context(), s, "things/one", thing{"written elsewhere"}))
	table.Forget("things/one")
	one, err := table.Get(t.Context(), "one")
	require.NoError(t, err)
	require.Equal(t, "written elsewhere", one.Text)

	require.NoError(t, table.Delete(t.Context(), "one"))
	require.NoError(t, table.Replace(t.Context(), "one", nil, &thing{"written here"}))
	one, err = table.Get(t.Context(), "one")
	require.NoError(t, err)
	require.Equal(t, "written here", one.Text)
}

func TestNamesThatAreNotThereAreKeptInBounds(t *testing.T) {
	table, _ := newTable(t)
	for i := range 3 * mostAbsent {
		_, err := table.Get(t.Context(), fmt.Sprint(i))
		require.NoError(t, err)
	}
	require.Len(t, table.absent, mostAbsent)
}
