// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package redact takes what may be a secret out of texts that people paste.
package redact

import (
	"regexp"
	"strings"
)

// Mark stands in the place of what was taken out.
const Mark = "[redacted]"

var (
	// known are the beginnings by which platforms mark their secrets, JWTs included.
	known = regexp.MustCompile(`(?i)\b(gh[a-z]_|github_pat_|gl[a-z]{2,5}-|xox[a-z]-|hv[sbr]\.|s\.|eyJ|AKIA|ASIA)[A-Za-z0-9._~+/=-]{12,}`)
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
