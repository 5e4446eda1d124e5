// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package redact takes what may be a secret out of texts that come from outside:
// what people paste, and what platforms say of themselves.
package redact

import (
	"regexp"
	"strings"
)

// Mark stands in the place of what was taken out.
const Mark = "[redacted]"

var (
	// known are the beginnings by which platforms mark their secrets, JWTs included.
	// They may follow a letter: a colour code ends with one, and so does "\n".
	known = regexp.MustCompile(`(?i)(gh[a-z]_|github_pat_|gl[a-z]{2,5}-|xox[a-z]-|hv[sbr]\.|\bs\.|eyJ|AKIA|ASIA)[A-Za-z0-9._~+/=-]{12,}`)
	// reserved are words that Vault Agent takes for a failed login of its own when it
	// finds them in an answer. A platform may say them of its token, and a branch may
	// be called so.
	reserved = regexp.MustCompile(`(?i)(invalid)\s+(token)`)
	// userinfo is what stands before the host in a URL.
	userinfo = regexp.MustCompile(`://[^/@\s]+@`)
	// dense is a run that no word and no path has.
	dense = regexp.MustCompile(`[A-Za-z0-9+_=-]{28,}`)
	digit = regexp.MustCompile(`[0-9]`)
	most  = 500
)

// Text is s without the given secret and without whatever else looks like one, on
// one line and of at most 500 characters.
func Text(s, secret string) string {
	if secret != "" {
		s = strings.ReplaceAll(s, secret, Mark)
	}
	s = strings.Join(strings.Fields(s), " ")
	s = userinfo.ReplaceAllString(s, "://"+Mark+"@")
	s = known.ReplaceAllString(s, Mark)
	s = dense.ReplaceAllStringFunc(s, func(run string) string {
		if digit.MatchString(run) {
			return Mark
		}
		return run
	})
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// Error is the text of an error without what looks like a secret, and without the
// words that mean something else to those who read answers of Vault's.
func Error(s string) string { return Words(known.ReplaceAllString(s, Mark)) }

// Words writes the words "invalid token" in another way.
func Words(s string) string { return reserved.ReplaceAllString(s, "${1}_${2}") }
