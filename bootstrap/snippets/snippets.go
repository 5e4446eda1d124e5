// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package snippets keeps documentation true: what a page shows of a file is in that
// file, which a test runs.
package snippets

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// quoted is a comment that names a file, and the code block that follows it.
var quoted = regexp.MustCompile("(?s)<!-- from ([^ ]+) -->\n```[a-z]*\n(.*?)```\n")

// Check fails the test where a page quotes what is not in the named file. The name
// is relative to the page. A block may be indented less than its source, and leave
// lines out with a line that says `...`.
func Check(t testing.TB, page string) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	found := quoted.FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, found, "%s quotes no file", page)
	for _, quote := range found {
		source, err := os.ReadFile(filepath.Join(filepath.Dir(page), quote[1]))
		require.NoError(t, err)
		rest := unindented(string(source))
		for _, part := range strings.Split(unindented(quote[2]), "\n...\n") {
			at := strings.Index(rest, strings.Trim(part, "\n"))
			require.GreaterOrEqual(t, at, 0, "%s: not in %s:\n%s", page, quote[1], part)
			rest = rest[at:]
		}
	}
}

// unindented is text without the space before and after each line.
func unindented(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
