// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package mask

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func masked(t *testing.T, secrets []string, writes ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := New(&out, secrets...)
	for _, text := range writes {
		n, err := w.Write([]byte(text))
		require.NoError(t, err)
		require.Equal(t, len(text), n)
	}
	require.NoError(t, w.Flush())
	return out.String()
}

func TestWriter(t *testing.T) {
	for _, c := range []struct {
		name    string
		secrets []string
		writes  []string
		want    string
	}{
		{"nothing to hide", nil, []string{"hello"}, "hello"},
		{"a secret", []string{"ghs_x"}, []string{"a ghs_x b"}, "a [masked] b"},
		{"twice", []string{"ghs_x"}, []string{"ghs_xghs_x"}, "[masked][masked]"},
		{"in two writes", []string{"ghs_x"}, []string{"a gh", "s_x b"}, "a [masked] b"},
		{"a false start", []string{"ghs_x"}, []string{"gh", "ghs_", "x"}, "gh[masked]"},
		{"only the beginning", []string{"ghs_x"}, []string{"the end: ghs_"}, "the end: ghs_"},
		{"two secrets, one in the other", []string{"abcd", "bc"}, []string{"abcd bc"}, "[masked] [masked]"},
		{"an empty secret hides nothing", []string{""}, []string{"hello"}, "hello"},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, masked(t, c.secrets, c.writes...)) })
	}
}

// TestCuts holds that it does not matter how a stream is cut.
func TestCuts(t *testing.T) {
	secret := "abababac"
	text := strings.Repeat("ab", 50) + secret + "aba" + secret + secret + "ab"
	want := strings.ReplaceAll(text, secret, blot)
	for range 500 {
		var writes []string
		for rest := text; rest != ""; {
			n := 1 + rand.IntN(len(rest))
			writes, rest = append(writes, rest[:n]), rest[n:]
		}
		require.Equal(t, want, masked(t, []string{secret}, writes...), "%q", writes)
	}
}

func TestNothingIsHeldBackWithoutNeed(t *testing.T) {
	var out bytes.Buffer
	w := New(&out, "ghs_secret")
	_, err := w.Write([]byte("password: g"))
	require.NoError(t, err)
	require.Equal(t, "password: ", out.String())
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no reader") }

func TestABrokenStreamIsTold(t *testing.T) {
	_, err := New(broken{}, "x").Write([]byte("hello"))
	require.EqualError(t, err, "no reader")
}
