// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

const (
	// wellKnown is where OpenID Connect Discovery puts an issuer's description.
	wellKnown = "/.well-known/openid-configuration"
	// maxAnswerBytes bounds a discovery document and a key set: GitHub's have a few
	// kilobytes.
	maxAnswerBytes = 1 << 20
)

// fetcher gets an issuer's keys from where its definition says.
type fetcher struct {
	issuer Issuer
	client *http.Client
}

func newFetcher(issuer Issuer, timeout time.Duration) (*fetcher, error) {
	client, err := transport.New(transport.Options{CACert: issuer.CACert, Timeout: timeout, MaxAnswerBytes: maxAnswerBytes})
	if err != nil {
		return nil, err
	}
	return &fetcher{issuer: issuer, client: client}, nil
}

// field is the field that says where the keys are.
func (f *fetcher) field() string {
	if f.issuer.JWKSURL != "" {
		return "jwks_url"
	}
	return "discovery_url"
}

// keys asks the issuer. Its errors are fault.Unavailable and fault.Nonsense. It
// keeps no connection: the next time is minutes away.
func (f *fetcher) keys(ctx context.Context) ([]jose.JSONWebKey, error) {
	defer f.client.CloseIdleConnections()
	address := f.issuer.JWKSURL
	if address == "" {
		var err error
		if address, err = f.discover(ctx); err != nil {
			return nil, err
		}
	}
	body, err := f.get(ctx, address)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeySet(body)
	if err != nil {
		return nil, fault.New(fault.Nonsense, "%s: what %s answers %w", f.who(), address, err)
	}
	return keys, nil
}

// discover reads where the issuer has its keys. The document must speak for the
// issuer that is bound or for the address that it is read from: that of a
// neighbour on the same host would bring the neighbour's keys.
func (f *fetcher) discover(ctx context.Context) (string, error) {
	address := f.issuer.DiscoveryURL + wellKnown
	body, err := f.get(ctx, address)
	if err != nil {
		return "", err
	}
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return "", fault.New(fault.Nonsense, "%s: what %s answers is not a discovery document", f.who(), address)
	}
	if own := []string{f.issuer.BoundIssuer, f.issuer.DiscoveryURL}; !slices.Contains(own, document.Issuer) {
		return "", fault.New(fault.Nonsense, "%s: the document at %s is that of issuer %s, not of %s; write that as discovery_url or bound_issuer if it is meant",
			f.who(), address, show(document.Issuer), show(f.issuer.BoundIssuer))
	}
	if _, err := transport.ParseBaseURL("jwks_uri", document.JWKSURI); err != nil {
		return "", fault.New(fault.Nonsense, "%s: in the document at %s, %w", f.who(), address, err)
	}
	if strings.HasPrefix(address, "https:") && !strings.HasPrefix(strings.ToLower(document.JWKSURI), "https:") {
		return "", fault.New(fault.Nonsense, "%s: in the document at %s, jwks_uri must be https as the document's own address is", f.who(), address)
	}
	return document.JWKSURI, nil
}

func (f *fetcher) get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fault.New(fault.Nonsense, "%s: its address cannot be asked", f.who())
	}
	request.Header.Set("Accept", "application/json")
	answer, err := f.client.Do(request)
	if err != nil {
		return nil, transport.Fault(f.who(), err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fault.New(fault.Unavailable, "%s: %s answers %d", f.who(), address, answer.StatusCode)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, transport.Fault(f.who(), err)
	}
	return body, nil
}

func (f *fetcher) who() string { return "identity: issuer " + show(f.issuer.Name) }
