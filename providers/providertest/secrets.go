// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package providertest

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
)

// shortest is the length from which on a string is looked for: shorter ones stand
// in ordinary words.
const shortest = 8

// secrets keeps what must never be said, and everything that was said.
type secrets struct {
	mu    sync.Mutex
	known map[string]bool
	text  bytes.Buffer
}

func newSecrets(p providers.Platform, site Site) *secrets {
	s := &secrets{known: map[string]bool{}}
	for _, f := range p.Fields {
		if f.Secret {
			s.add(site.Settings.Values[f.Name])
		}
	}
	for _, secret := range site.Secrets {
		s.add(secret)
	}
	return s
}

// add keeps a secret, and each line of one that has several: a key leaks by the
// line.
func (s *secrets) add(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(secret) {
		line = strings.TrimSpace(line)
		if len(line) >= shortest && !strings.HasPrefix(line, "-----") {
			s.known[line] = true
		}
	}
}

// sent keeps what a request authenticates with.
func (s *secrets) sent(r *http.Request) {
	s.add(r.Header.Get("Private-Token"))
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	s.add(value)
	if strings.EqualFold(scheme, "Basic") {
		plain, _ := base64.StdEncoding.DecodeString(value)
		_, password, _ := strings.Cut(string(plain), ":")
		s.add(password)
	}
}

// said keeps an error's text.
func (s *secrets) said(err error) {
	if err != nil {
		_, _ = s.Write([]byte(err.Error() + "\n"))
	}
}

// Write keeps what was logged.
func (s *secrets) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *secrets) assertKept(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.NotEmpty(t, s.known, "the suite knows no secret to look for")
	text := s.text.String()
	for secret := range s.known {
		if i := strings.Index(text, secret); i >= 0 {
			start := strings.LastIndexByte(text[:i], '\n') + 1
			t.Errorf("a secret was said, after: %q", text[start:i])
		}
	}
}
