// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package glob is the one pattern language of the engine, for roles, repositories
// and claims alike: `*` stands for any characters but `/`, `**` for any at all,
// everything else for itself. A pattern always matches from the first character to
// the last.
package glob

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxBytes bounds a pattern: what it is matched against is short too.
const MaxBytes = 1024

// Pattern is a parsed pattern. It is safe for any number of goroutines. The zero
// value matches nothing.
type Pattern struct {
	text  string
	whole *regexp.Regexp
}

// IsPattern reports whether s holds a wildcard.
func IsPattern(s string) bool { return strings.Contains(s, "*") }

// Parse reads a pattern that minds letter case. It fails for one that is too long
// or not UTF-8.
func Parse(s string) (Pattern, error) { return parse(s, "s") }

// ParseFold reads a pattern that does not mind letter case.
func ParseFold(s string) (Pattern, error) { return parse(s, "si") }

func parse(s, flags string) (Pattern, error) {
	if len(s) > MaxBytes {
		return Pattern{}, fmt.Errorf("a pattern has at most %d bytes", MaxBytes)
	}
	if !utf8.ValidString(s) {
		return Pattern{}, errors.New("a pattern is UTF-8")
	}
	whole, err := regexp.Compile(`\A(?` + flags + `:` + expression(s) + `)\z`)
	if err != nil {
		return Pattern{}, errors.New("a pattern has fewer wildcards")
	}
	return Pattern{text: s, whole: whole}, nil
}

// expression translates to RE2, which matches in linear time and quotes everything
// else for us. It is anchored by \A and \z, and `.` is let cross a newline: with
// ^ and $ one line of several could pass.
func expression(s string) string {
	var b strings.Builder
	for s != "" {
		star := strings.IndexByte(s, '*')
		if star < 0 {
			star = len(s)
		}
		b.WriteString(regexp.QuoteMeta(s[:star]))
		rest := strings.TrimLeft(s[star:], "*")
		switch stars := len(s) - star - len(rest); {
		case stars == 1:
			b.WriteString(`[^/]*`)
		case stars > 1:
			b.WriteString(`.*`)
		}
		s = rest
	}
	return b.String()
}

// Match reports whether the whole of s fits the pattern.
func (p Pattern) Match(s string) bool { return p.whole != nil && p.whole.MatchString(s) }

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// MatchAny reports whether s fits any of the patterns. One that cannot be read
// matches nothing.
func MatchAny(patterns []string, s string) bool {
	return slices.ContainsFunc(patterns, func(text string) bool {
		if text == s {
			return true
		}
		if !IsPattern(text) {
			return false
		}
		if text == "*" { // what most lists are
			return !strings.Contains(s, "/")
		}
		p, err := Parse(text)
		return err == nil && p.Match(s)
	})
}
