// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package glob

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"svc-*", "svc-web", true},
		{"svc-*", "svc-", true},
		{"svc-*", "my-svc-web", false}, // anchored in front
		{"*-svc", "web-svc-evil", false},
		{"svc-*", "svc-a/b", false}, // * stops at /
		{"refs/heads/**", "refs/heads/a/b", true},
		{"refs/heads/*", "refs/heads/a/b", false},
		{"refs/heads/main", "refs/heads/main-evil", false},
		{"a.c", "abc", false}, // no regular expressions
		{"v(1)*", "v(1)2", true},
		{"main", "main\n", false},
		{"*", "a\nb", true},
		{"", "", true},
		{"", "x", false},
		{"***", "a/b", true},
		{"Main", "main", false},
	} {
		require.Equal(t, c.want, Compile(c.pattern).Match(c.s), "%q on %q", c.pattern, c.s)
	}
	require.True(t, CompileFold("SVC-*").Match("svc-Web"))
	require.True(t, MatchAny([]string{"x", "build-*"}, "build-dev"))
	require.False(t, MatchAny(nil, "build-dev"), "an empty list matches nothing")
}

func FuzzCompile(f *testing.F) {
	f.Add("refs/**/x*", "refs/heads/main/xy")
	f.Add("[a](?i)\\E", "a")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		match := Compile(pattern).Match(s)
		if !IsPattern(pattern) && match != (pattern == s) && strings.ToValidUTF8(pattern, "") == pattern && strings.ToValidUTF8(s, "") == s {
			t.Fatalf("%q without wildcards on %q: %v", pattern, s, match)
		}
		_ = regexp.QuoteMeta(s)
	})
}
