// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

type value struct {
	Name string   `json:"name"`
	List []string `json:"list"`
}

func TestWhatIsPutIsGot(t *testing.T) {
	s := &logical.InmemStorage{}
	put := value{"one", []string{"a", "b"}}
	require.NoError(t, Put(t.Context(), s, "kind/one", put))
	var got value
	found, err := Get(t.Context(), s, "kind/one", &got)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, put, got)

	names, err := List(t.Context(), s, "kind/")
	require.NoError(t, err)
	require.Equal(t, []string{"one"}, names)

	for range 2 {
		require.NoError(t, Delete(t.Context(), s, "kind/one"))
	}
	found, err = Get(t.Context(), s, "kind/one", &got)
	require.NoError(t, err)
	require.False(t, found)
}

func TestALongValueIsStoredShort(t *testing.T) {
	s := &logical.InmemStorage{}
	var put value
	for i := range 1000 {
		put.List = append(put.List, fmt.Sprintf("said again in every line, and a number: %d", i))
	}
	plain, err := json.Marshal(put)
	require.NoError(t, err)
	require.NoError(t, Put(t.Context(), s, "long", put))
	entry, err := s.Get(t.Context(), "long")
	require.NoError(t, err)
	require.Less(t, len(entry.Value), len(plain)/3)

	var got value
	found, err := Get(t.Context(), s, "long", &got)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, put, got)

	// One that was written before long values were compressed is read as well.
	entry.Value = fmt.Appendf(nil, `{"format":1,"value":%s}`, plain)
	require.NoError(t, s.Put(t.Context(), entry))
	got = value{}
	_, err = Get(t.Context(), s, "long", &got)
	require.NoError(t, err)
	require.Equal(t, put, got)
}

func TestACompressedValueThatIsCutOffIsNoValue(t *testing.T) {
	entry, err := Encode("long", value{Name: strings.Repeat("x", packAbove)})
	require.NoError(t, err)
	for cut := range entry.Value {
		var got value
		require.ErrorContains(t, Decode(&logical.StorageEntry{Key: "long", Value: entry.Value[:cut]}, &got), "long")
	}
}

func TestALaterFormatIsRefusedRatherThanMisread(t *testing.T) {
	for name, c := range map[string]struct{ stored, says string }{
		"this format":     {`{"format":1,"value":{"name":"one"}}`, ""},
		"a later one":     {`{"format":2,"value":{"name":"one"}}`, "go back to the version that wrote it"},
		"none":            {`{"name":"one"}`, "has format 0"},
		"not ours at all": {`one`, "decode"},
		"of another kind": {`{"format":1,"value":[]}`, "decode"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &logical.InmemStorage{}
			require.NoError(t, s.Put(t.Context(), &logical.StorageEntry{Key: "k", Value: []byte(c.stored)}))
			var got value
			_, err := Get(t.Context(), s, "k", &got)
			if c.says == "" {
				require.NoError(t, err)
				require.Equal(t, "one", got.Name)
				return
			}
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "k")
		})
	}
}

func TestWhatStorageFailsNamesTheKeyAndKeepsTheCause(t *testing.T) {
	s := &logical.InmemStorage{}
	s.Underlying().FailGet(true)
	s.Underlying().FailPut(true)
	s.Underlying().FailDelete(true)
	s.Underlying().FailList(true)
	var got value
	_, getErr := Get(t.Context(), s, "some/key", &got)
	_, listErr := List(t.Context(), s, "some/key")
	for _, err := range []error{getErr, listErr, Put(t.Context(), s, "some/key", got), Delete(t.Context(), s, "some/key")} {
		require.ErrorContains(t, err, "some/key")
		require.Error(t, errors.Unwrap(err))
	}
	require.ErrorContains(t, Put(t.Context(), s, "k", func() {}), "encode k")
}

func TestPrefixesDoNotHoldOneAnother(t *testing.T) {
	all := []string{
		Configs, Retired, Rotations, Stages, Environments, Roles, Issuers, Live, Closed, Hashes, Events,
		Stats, StatsCheckpoint, Kills, Approvals, ApprovalDays, Seen, Retirements, Settings,
	}
	for i, a := range all {
		for j, b := range all {
			require.False(t, i != j && strings.HasPrefix(a, b), "%s is below %s", a, b)
		}
	}
}
