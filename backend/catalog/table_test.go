// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

type thing struct {
	Text string `json:"text"`
}

// counting storage counts reads and can hold one of them.
type counting struct {
	logical.InmemStorage
	reads atomic.Int32
	hold  chan struct{}
	held  chan struct{}
}

func (s *counting) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	s.reads.Add(1)
	entry, err := s.InmemStorage.Get(ctx, key)
	if s.hold != nil {
		s.held <- struct{}{}
		<-s.hold
	}
	return entry, err
}

func newTable(t *testing.T) (*Table[thing], *counting) {
	t.Helper()
	s := &counting{}
	return NewTable[thing]("thing", "things/", s), s
}

func TestAValueIsReadFromStorageOnce(t *testing.T) {
	table, s := newTable(t)
	require.NoError(t, store.Put(t.Context(), s, "things/one", thing{"one"}))
	first, err := table.Get(t.Context(), "one")
	require.NoError(t, err)
	require.Equal(t, "one", first.Text)
	again, err := table.Get(t.Context(), "one")
	require.NoError(t, err)
	require.Same(t, first, again, "the pointer tells one version from another")
	require.EqualValues(t, 1, s.reads.Load())

	none, err := table.Get(t.Context(), "none")
	require.NoError(t, err)
	require.Nil(t, none)
}

func TestOneOfTwoWritersAtOnceIsTold(t *testing.T) {
	table, _ := newTable(t)
	require.NoError(t, table.Replace(t.Context(), "one", nil, &thing{"first"}))
	seen, err := table.Get(t.Context(), "one")
	require.NoError(t, err)

	var won, lost atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			switch err := table.Replace(t.Context(), "one", seen, &thing{"mine"}); {
			case err == nil:
				won.Add(1)
			case fault.Is(err, fault.Conflict):
				lost.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, won.Load())
	require.EqualValues(t, 19, lost.Load())
	require.True(t, fault.Is(table.Replace(t.Context(), "one", nil, &thing{}), fault.Conflict), "a new one where there is one")
}

func TestASlowReaderDoesNotBringBackWhatAWriterReplaced(t *testing.T) {
	table, s := newTable(t)
	require.NoError(t, table.Replace(t.Context(), "one", nil, &thing{"old"}))
	table.Forget("things/one")
	s.hold, s.held = make(chan struct{}), make(chan struct{}, 10)
	slow := make(chan *thing)
	go func() {
		value, _ := table.Get(context.WithoutCancel(t.Context()), "one")
		slow <- value
	}()
	<-s.held // it has read the old value and not put it into memory yet
	require.NoError(t, table.Delete(t.Context(), "one"))
	close(s.hold)
	require.Equal(t, "old", (<-slow).Text, "it answers what was there when it read")
	now, err := table.Get(t.Context(), "one")
	require.NoError(t, err)
	require.Nil(t, now)
}

func TestWhatAnotherNodeChangedIsReadAnew(t *testing.T) {
	table, s := newTable(t)
	require.NoError(t, table.Replace(t.Context(), "one", nil, &thing{"old"}))
	require.NoError(t, store.Put(t.Context(), s, "things/one", thing{"new"}))
	for _, other := range []string{"things/", "others/one", "thing", ""} {
		table.Forget(other)
	}
	value, err := table.Get(t.Context(), "one")
	require.NoError(t, err)
	require.Equal(t, "old", value.Text)
	table.Forget("things/one")
	value, err = table.Get(t.Context(), "one")
	require.NoError(t, err)
	require.Equal(t, "new", value.Text)
}

func TestEachStopsWhereItIsTold(t *testing.T) {
	table, _ := newTable(t)
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, table.Replace(t.Context(), name, nil, &thing{name}))
	}
	var seen []string
	require.NoError(t, table.Each(t.Context(), func(name string, value *thing) bool {
		require.Equal(t, name, value.Text)
		seen = append(seen, name)
		return name != "b"
	}))
	require.Equal(t, []string{"a", "b"}, seen)
}
