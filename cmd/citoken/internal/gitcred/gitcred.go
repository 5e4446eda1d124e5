// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package gitcred speaks git's credential protocol: lines of key=value, ended by an
// empty one.
package gitcred

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
)

// mostLine bounds one line; git's own limit is lower.
const mostLine = 64 << 10

// Request is what git asks about.
type Request struct {
	Protocol, Host, Path string
}

// Parse reads a request. Keys that are of no use here are passed over, as git's
// documentation demands of a helper.
func Parse(in io.Reader) (Request, error) {
	var r Request
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, mostLine)
	for lines.Scan() && lines.Text() != "" {
		key, value, found := strings.Cut(lines.Text(), "=")
		if !found {
			return r, fmt.Errorf("git-credential: a line without %q on stdin", "=")
		}
		switch key {
		case "protocol":
			r.Protocol = value
		case "host":
			r.Host = value
		case "path":
			r.Path = value
		}
	}
	if err := lines.Err(); err != nil {
		return r, fmt.Errorf("git-credential: %w", err)
	}
	return r, nil
}

// Site is the address that git talks to, without a path.
func (r Request) Site() string { return r.Protocol + "://" + r.Host }

// Repository is the repository that git talks about, owner first, where git tells
// its path (credential.useHttpPath); else empty.
func (r Request) Repository() string {
	path := strings.TrimSuffix(strings.Trim(r.Path, "/"), "/info/lfs")
	return strings.TrimSuffix(path, ".git")
}

// Answer writes a user name and a password, and when it ends: a cache in front of
// this helper then forgets it in time.
func Answer(out io.Writer, username, password string, expires time.Time) error {
	_, err := fmt.Fprintf(out, "username=%s\npassword=%s\npassword_expiry_utc=%d\n", username, password, expires.Unix())
	return err
}
