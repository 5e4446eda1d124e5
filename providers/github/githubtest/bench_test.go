// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkMint is a mint for one repository, without the network.
func BenchmarkMint(b *testing.B) {
	s := start(b, Options{})
	authorization, body := "Bearer "+s.jwt(), string(mustJSON(want("web", "contents", "read")))
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", s.mintPath(), strings.NewReader(body))
		r.Header.Set("Authorization", authorization)
		r.Header.Set("User-Agent", "benchmark")
		if s.ServeHTTP(w, r); w.Code != http.StatusCreated {
			b.Fatal(w.Body.String())
		}
	}
}

// BenchmarkMintOverHTTP is the same over a connection.
func BenchmarkMintOverHTTP(b *testing.B) {
	s := start(b, Options{})
	authorization, body := "Bearer "+s.jwt(), want("web", "contents", "read")
	for b.Loop() {
		if r := s.do("POST", s.mintPath(), authorization, body); r.status != http.StatusCreated {
			b.Fatal(string(r.body))
		}
	}
}
