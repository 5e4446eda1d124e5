// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package glob

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func match(t testing.TB, pattern, s string) bool {
	t.Helper()
	p, err := Parse(pattern)
	require.NoError(t, err)
	require.Equal(t, pattern, p.String())
	return p.Match(s)
}

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
		{"main", "evil\nmain", false},
		{"*", "a\nb", true},
		{"**", "a\n/b", true},
		{"", "", true},
		{"", "x", false},
		{"***", "a/b", true},
		{"Main", "main", false},
	} {
		require.Equal(t, c.want, match(t, c.pattern, c.s), "%q on %q", c.pattern, c.s)
	}
}

func TestMatchFold(t *testing.T) {
	p, err := ParseFold("SVC-*")
	require.NoError(t, err)
	require.True(t, p.Match("svc-Web"))
	require.False(t, p.Match("my-svc-web"))
}

func TestMatchAny(t *testing.T) {
	require.True(t, MatchAny([]string{"x", "build-*"}, "build-dev"))
	require.True(t, MatchAny([]string{"build-dev"}, "build-dev"))
	require.True(t, MatchAny([]string{"*"}, "build-dev"))
	require.False(t, MatchAny([]string{"build"}, "build-dev"))
	require.False(t, MatchAny(nil, "build-dev"), "an empty list matches nothing")
	require.False(t, MatchAny([]string{"\xff*", strings.Repeat("*a", MaxBytes)}, "build-dev"), "what cannot be read matches nothing")
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{"\xff", "main-\xc3*", strings.Repeat("x", MaxBytes+1)} {
		p, err := Parse(s)
		require.Error(t, err)
		require.False(t, p.Match(s), "and what comes of it matches nothing")
	}
	_, err := Parse(strings.Repeat("*a", MaxBytes/2))
	require.NoError(t, err, "as many wildcards as fit")
}

// FuzzPattern holds the patterns against a second, plain reading of their rules.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"refs/heads/main", "refs/heads/main"}, {"refs/heads/main", "refs/heads/main-evil"}, {"acme/*", "acme/web/x"},
		{"acme/**", "acme/web/x"}, {"*", ""}, {"**", "a/\n"}, {"a.c", "abc"}, {"main", "main\n"}, {"[a-z]+$", "a"},
		{`\*`, `\x`}, {"***/x", "a/b/x"}, {"ü*", "üß/"}, {"*a*b", "aab"}, {"(?i)A", "a"}, {`[a](?i)\E`, "a"}, {"", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, value string) {
		if len(pattern) > 64 || len(value) > 64 {
			t.Skip("longer ones say no more and take longer")
		}
		if !utf8.ValidString(value) {
			t.Skip("all that is matched has been read as JSON")
		}
		p, err := Parse(pattern)
		if err != nil {
			require.False(t, utf8.ValidString(pattern))
			return
		}
		want := plainly([]rune(pattern), []rune(value))
		require.Equal(t, want, p.Match(value), "%q against %q", value, pattern)
		require.Equal(t, want, MatchAny([]string{pattern}, value))
		if !IsPattern(pattern) {
			require.Equal(t, pattern == value, want)
		}
	})
}

// plainly matches by the rules as they are written, a table of which ends of the
// pattern match which ends of the value.
func plainly(pattern, value []rune) bool {
	memo := map[[2]int]bool{}
	var from func(p, v int) bool
	from = func(p, v int) bool {
		if known, ok := memo[[2]int{p, v}]; ok {
			return known
		}
		var ok bool
		switch {
		case p == len(pattern):
			ok = v == len(value)
		case pattern[p] != '*':
			ok = v < len(value) && value[v] == pattern[p] && from(p+1, v+1)
		default:
			end := p
			for end < len(pattern) && pattern[end] == '*' {
				end++
			}
			for at := v; at <= len(value) && !ok; at++ {
				ok = from(end, at)
				if at < len(value) && end-p == 1 && value[at] == '/' {
					break
				}
			}
		}
		memo[[2]int{p, v}] = ok
		return ok
	}
	return from(0, 0)
}
