// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// ParseBaseURL checks a platform's address and brings it to one spelling: lower
// case scheme and host, no default port, no last slash. It must be absolute and
// https, or http on loopback, without user, query and fragment. Its errors are
// fault.Invalid for the field.
func ParseBaseURL(field, raw string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil {
		// The parser's own error repeats the text, which may hold a password.
		return "", fault.InvalidField(field, "is not a URL; write https://host or https://host/path")
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch {
	case u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return "", fault.InvalidField(field, "is not an absolute URL; write https://host or https://host/path")
	case u.User != nil:
		return "", fault.InvalidField(field, "must not hold a user or a password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(raw, "#"):
		return "", fault.InvalidField(field, "must not hold a query or a fragment")
	case u.Scheme == "http" && !IsLoopback(u.Hostname()):
		return "", fault.InvalidField(field, "must be https: over http the credential would be readable on the way (http is for loopback only)")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fault.InvalidField(field, "must be https")
	}
	if port := u.Port(); port == defaultPort(u.Scheme) || strings.HasSuffix(u.Host, ":") {
		u.Host = strings.TrimSuffix(strings.TrimSuffix(u.Host, port), ":")
	}
	return u.Scheme + "://" + u.Host + strings.TrimRight(u.EscapedPath(), "/"), nil
}

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

// IsLoopback reports whether a host, without its port, is this machine.
func IsLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// origin is a URL without all that may be secret.
func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }
