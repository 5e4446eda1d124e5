// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"errors"
	"io"
	"time"
)

// grant is what the answer to a token request says, without the 6 KB that it has
// to say of each repository.
type grant struct {
	secret      string
	expiresAt   time.Time
	permissions map[string]string
	// selection is "all" or "selected".
	selection string
	// repositories are full names, owner/name, where GitHub gives them.
	repositories []string
	listed       bool
}

// read reads the answer. What it has read when it fails stays: a token in half an
// answer must be killed.
func (a *grant) read(r io.Reader) error {
	s := newScanner(r)
	return s.object(func(key string) (err error) {
		switch key {
		case "token":
			a.secret, err = s.text()
		case "expires_at":
			a.expiresAt, err = s.time()
		case "repository_selection":
			a.selection, err = s.text()
		case "permissions":
			a.permissions, err = s.texts()
		case "repositories":
			a.listed = true
			err = s.array(func() error { return a.readRepository(s) })
		default:
			err = s.skip()
		}
		return err
	})
}

// readRepository reads one repository's name: the full one, which comes early, so
// that the rest need not be looked at.
func (a *grant) readRepository(s *scanner) error {
	var name, full string
	err := s.object(func(key string) (err error) {
		switch key {
		case "name":
			name, err = s.text()
		case "full_name":
			if full, err = s.text(); err == nil {
				err = s.leave()
			}
		default:
			err = s.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	if full == "" {
		full = name
	}
	if full == "" {
		return errors.New("a repository in it has no name")
	}
	a.repositories = append(a.repositories, full)
	return nil
}

// complete says what is missing for the answer to be a token that can be judged.
func (a *grant) complete() error {
	switch {
	case !isToken(a.secret):
		return errors.New("it holds no token")
	case a.expiresAt.IsZero():
		return errors.New("it does not say when the token expires")
	case a.permissions == nil:
		return errors.New("it does not say what the token may do")
	case a.selection != "all" && !a.listed:
		return errors.New("it does not say which repositories the token is for")
	}
	return nil
}

// longestToken is many times what GitHub's longest tokens have.
const longestToken = 8 << 10

// isToken reports whether s can be sent as a token; what it is made of is
// GitHub's business.
func isToken(s string) bool {
	if s == "" || len(s) > longestToken {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
