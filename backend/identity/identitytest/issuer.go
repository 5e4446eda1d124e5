// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package identitytest is a local issuer of CI jobs' tokens for tests. It publishes
// discovery and keys as GitHub Actions, GitLab and Forgejo do, mints tokens with
// any claims, rotates its keys, fails on demand, and forges.
package identitytest

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

// The paths at which the platforms have their issuers on a host of one's own.
const (
	GitHubPath  = "/_services/token"
	GitLabPath  = ""
	ForgejoPath = "/api/actions"
)

// Audience is the aud of tokens that name no other one.
const Audience = "https://vault.example.com"

// keysPath is where the keys are, below the issuer's path.
const keysPath = "/.well-known/jwks"

// Options say what an issuer is like. The zero value is a usable one.
type Options struct {
	// Path is where on its host the issuer is, such as GitHubPath.
	Path string
	// TLS makes it an https server with a certificate of its own authority, which
	// CACert gives; else it is http on loopback.
	TLS bool
	// Algorithm is what it signs with: RS256 where empty, as all three platforms.
	Algorithm jose.SignatureAlgorithm
	// Now is the clock of its tokens; time.Now where nil.
	Now func() time.Time
}

// Issuer is a running issuer. It is safe for any number of goroutines at once.
type Issuer struct {
	t       testing.TB
	options Options
	server  *httptest.Server
	gone    chan struct{} // closed at the end, to let go of requests that hang

	mu          sync.Mutex
	signing     *key
	published   []*key
	failure     Failure
	document    map[string]any
	keys        any
	discoveries int
	fetches     int
	minted      int
}

// New starts an issuer that ends with the test.
func New(t testing.TB, o Options) *Issuer {
	t.Helper()
	if o.Algorithm == "" {
		o.Algorithm = jose.RS256
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	i := &Issuer{t: t, options: o, gone: make(chan struct{}), document: map[string]any{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+o.Path+"/.well-known/openid-configuration", i.serve(i.discovery))
	mux.HandleFunc("GET "+o.Path+keysPath, i.serve(i.keySet))
	i.server = httptest.NewUnstartedServer(mux)
	i.server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what some tests want
	if o.TLS {
		i.server.StartTLS()
	} else {
		i.server.Start()
	}
	t.Cleanup(func() {
		close(i.gone)
		i.server.Close()
	})
	i.Rotate()
	return i
}

// URL is the issuer: what its tokens have as iss, and where its discovery is.
func (i *Issuer) URL() string { return i.server.URL + i.options.Path }

// KeysURL is where its keys are.
func (i *Issuer) KeysURL() string { return i.URL() + keysPath }

// CACert is the PEM certificate to trust; empty without TLS.
func (i *Issuer) CACert() string {
	if !i.options.TLS {
		return ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw}))
}

// PublicKey is the PEM public key that belongs to the key it signs with now.
func (i *Issuer) PublicKey() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.signing.public(i.t)
}

// Rotate makes it sign with a new key, and publish no other.
func (i *Issuer) Rotate() {
	i.t.Helper()
	fresh := newKey(i.t, i.options.Algorithm)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.signing, i.published = fresh, []*key{fresh}
}

// Overlap makes it sign with a new key, and publish those before it too.
func (i *Issuer) Overlap() {
	i.t.Helper()
	fresh := newKey(i.t, i.options.Algorithm)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.signing, i.published = fresh, append(i.published, fresh)
}

// SetDocument makes a field of the discovery document say something else.
func (i *Issuer) SetDocument(field string, value any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.document[field] = value
}

// SetKeySet makes it publish that as its keys, whatever it signs with.
func (i *Issuer) SetKeySet(answer any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = answer
}

// Key is the public half of what it signs with now, as it is published.
func (i *Issuer) Key() jose.JSONWebKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.signing.published()
}

// Discoveries is how often the discovery document was asked for.
func (i *Issuer) Discoveries() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.discoveries
}

// Fetches is how often the keys were asked for.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func (i *Issuer) discovery() any {
	i.discoveries++
	document := map[string]any{
		"issuer":                                i.URL(),
		"jwks_uri":                              i.KeysURL(),
		"response_types_supported":              []string{"id_token"},
		"subject_types_supported":               []string{"public", "pairwise"},
		"id_token_signing_alg_values_supported": []string{string(i.options.Algorithm)},
		"scopes_supported":                      []string{"openid"},
	}
	for field, value := range i.document {
		document[field] = value
	}
	return document
}

func (i *Issuer) keySet() any {
	i.fetches++
	if i.keys != nil {
		return i.keys
	}
	var set jose.JSONWebKeySet
	for _, k := range i.published {
		set.Keys = append(set.Keys, k.published())
	}
	return set
}

// encode writes an answer as JSON.
func encode(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that hung up is no fault of ours
}

// mustMarshal is JSON of values that a test wrote.
func mustMarshal(t testing.TB, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	return text
}
