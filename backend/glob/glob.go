// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package glob is the one pattern language of the engine: `*` stands for any
// characters but `/`, `**` for any at all, everything else for itself. A pattern
// always matches from the first character to the last.
package glob

import (
	"regexp"
	"strings"
)

// Pattern is a compiled pattern. It is safe for any number of goroutines.
type Pattern struct{ re *regexp.Regexp }

// IsPattern reports whether s holds a wildcard.
func IsPattern(s string) bool { return strings.Contains(s, "*") }

// Compile makes a pattern that minds letter case.
func Compile(s string) Pattern { return compile(s, "") }

// CompileFold makes a pattern that does not mind letter case.
func CompileFold(s string) Pattern { return compile(s, "i") }

// compile translates to RE2, whose matching time is linear in the input and which
// quotes everything else for us. (?s) lets `**` cross a newline: a value that
// hides one must not match by accident of line ends.
func compile(s, flags string) Pattern {
	var re strings.Builder
	re.WriteString(`(?s` + flags + `)\A`)
	for {
		i := strings.IndexByte(s, '*')
		if i < 0 {
			break
		}
		re.WriteString(regexp.QuoteMeta(s[:i]))
		if s = s[i+1:]; strings.HasPrefix(s, "*") {
			re.WriteString(`.*`)
			s = strings.TrimLeft(s, "*")
		} else {
			re.WriteString(`[^/]*`)
		}
	}
	re.WriteString(regexp.QuoteMeta(s) + `\z`)
	return Pattern{regexp.MustCompile(re.String())}
}

// Match reports whether the whole of s fits the pattern.
func (p Pattern) Match(s string) bool { return p.re.MatchString(s) }

// MatchAny reports whether s fits any of the patterns.
func MatchAny(patterns []string, s string) bool {
	for _, p := range patterns {
		if p == "*" && !strings.Contains(s, "/") || p == s {
			return true
		}
		if IsPattern(p) && Compile(p).Match(s) {
			return true
		}
	}
	return false
}
