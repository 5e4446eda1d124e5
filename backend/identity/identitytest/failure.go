// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identitytest

import (
	"net/http"
	"strings"
)

// Failure is how an issuer fails.
type Failure int

const (
	// Healthy is how it answers as it should.
	Healthy Failure = iota
	// Down cuts each connection.
	Down
	// Broken answers 503.
	Broken
	// Nonsense answers 200 with a page for people.
	Nonsense
	// Empty answers with an object that says nothing.
	Empty
	// Endless answers with more than anybody should read.
	Endless
	// Elsewhere redirects to another host.
	Elsewhere
	// Hanging never answers.
	Hanging
)

// Fail makes it fail from now on, until it is told to be Healthy.
func (i *Issuer) Fail(how Failure) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.failure = how
}

// serve counts a request, then answers it or fails.
func (i *Issuer) serve(answer func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		body, failure := answer(), i.failure
		i.mu.Unlock()
		switch failure {
		case Down:
			panic(http.ErrAbortHandler)
		case Broken:
			http.Error(w, "try again later", http.StatusServiceUnavailable)
		case Nonsense:
			_, _ = w.Write([]byte("<html>Sign in to the corporate network: invalid token</html>"))
		case Empty:
			_, _ = w.Write([]byte("{}"))
		case Endless:
			_, _ = w.Write([]byte(strings.Repeat(" ", 32<<20)))
		case Elsewhere:
			http.Redirect(w, r, "https://elsewhere.example.com"+r.URL.Path, http.StatusFound)
		case Hanging:
			select {
			case <-r.Context().Done():
			case <-i.gone:
			}
		default:
			encode(w, body)
		}
	}
}
