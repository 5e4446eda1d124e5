// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxPatternBytes bounds a pattern: what it is matched against is short too.
const maxPatternBytes = 1024

// pattern matches the whole text of a claim. * stands for any run of characters
// without a slash, ** for any run at all; everything else is itself.
type pattern struct {
	text  string
	whole *regexp.Regexp
}

func parsePattern(text string) (pattern, error) {
	if len(text) > maxPatternBytes {
		return pattern{}, fmt.Errorf("a pattern has at most %d bytes", maxPatternBytes)
	}
	if !utf8.ValidString(text) {
		return pattern{}, errors.New("a pattern is UTF-8")
	}
	whole, err := regexp.Compile(expression(text))
	if err != nil {
		return pattern{}, errors.New("a pattern has fewer wildcards")
	}
	return pattern{text: text, whole: whole}, nil
}

// expression translates a pattern to RE2, which matches in linear time. \A and \z
// anchor it: ^ and $ would let a line of several pass in some modes.
func expression(text string) string {
	var b strings.Builder
	b.WriteString(`\A(?s:`)
	for text != "" {
		star := strings.IndexByte(text, '*')
		if star < 0 {
			star = len(text)
		}
		b.WriteString(regexp.QuoteMeta(text[:star]))
		rest := strings.TrimLeft(text[star:], "*")
		switch stars := len(text) - star - len(rest); {
		case stars == 1:
			b.WriteString(`[^/]*`)
		case stars > 1:
			b.WriteString(`.*`)
		}
		text = rest
	}
	b.WriteString(`)\z`)
	return b.String()
}

func (p pattern) matches(value string) bool { return p.whole.MatchString(value) }

// pinsOwner reports whether everything that matches belongs to one owner: the
// pattern has no wildcard, or a slash closes its first segment before the first
// one. acme/* pins; acme* does not, since anybody can register acme-evil.
func (p pattern) pinsOwner() bool {
	star := strings.IndexByte(p.text, '*')
	return star < 0 || strings.IndexByte(p.text[:star], '/') > 0
}
