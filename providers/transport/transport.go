// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package transport makes the HTTP client with which a connection talks to its
// platform, and speaks of that client's failures in the words of package fault.
package transport

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

const (
	// DefaultTimeout bounds a request where Options say nothing.
	DefaultTimeout = 10 * time.Second
	// DefaultMaxAnswerBytes bounds an answer where Options say nothing: GitHub's
	// longest, a token for 500 repositories, has about 3 MB.
	DefaultMaxAnswerBytes = 16 << 20
	// connections that are kept for the next request to the same host: as many as
	// a config has at once by default.
	idleConnections = 64
	// maxRedirects on one host. More than these are a loop.
	maxRedirects = 3
)

// Options say how a client behaves. The zero value is a usable one.
type Options struct {
	// CACert holds PEM certificates that are trusted beside the system's.
	CACert string
	// Timeout bounds a request from dialling to the last byte of its answer.
	Timeout time.Duration
	// MaxAnswerBytes bounds the body of an answer. Reading beyond is an error.
	MaxAnswerBytes int64
}

// New makes a client. It speaks TLS 1.2 at least, takes its proxy from the
// environment, and follows no redirect to another host. Its errors are
// fault.Invalid for ca_cert.
func New(o Options) (*http.Client, error) {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxAnswerBytes <= 0 {
		o.MaxAnswerBytes = DefaultMaxAnswerBytes
	}
	roots, err := rootCAs(o.CACert)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: o.Timeout, KeepAlive: 30 * time.Second}
	base := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:   o.Timeout,
		ResponseHeaderTimeout: o.Timeout,
		MaxIdleConns:          2 * idleConnections,
		MaxIdleConnsPerHost:   idleConnections,
		IdleConnTimeout:       90 * time.Second,
	}
	return &http.Client{
		Transport:     &bounded{next: base, max: o.MaxAnswerBytes},
		CheckRedirect: sameHost,
		Timeout:       o.Timeout,
	}, nil
}

// rootCAs are the system's certificates and those in the PEM text; nil, which
// means the system's, where there are none in it.
func rootCAs(text string) (*x509.CertPool, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		// A system without certificates of its own trusts only those given here.
		pool = x509.NewCertPool()
	}
	rest := []byte(text)
	for found := false; ; found = true {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if !found || strings.TrimSpace(string(rest)) != "" {
				return nil, fault.InvalidField("ca_cert", "holds something other than PEM certificates (-----BEGIN CERTIFICATE-----)")
			}
			return pool, nil
		}
		if block.Type != "CERTIFICATE" {
			return nil, fault.InvalidField("ca_cert", "holds a %s where only certificates are allowed", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.InvalidField("ca_cert", "a certificate in it cannot be read: %w", err)
		}
		pool.AddCert(cert)
	}
}

// sameHost stops a redirect that leaves the scheme, host and port that the
// request was for: it would take the credential along.
func sameHost(r *http.Request, via []*http.Request) error {
	from := via[0].URL
	if r.URL.Scheme != from.Scheme || r.URL.Host != from.Host {
		return fault.New(fault.Nonsense, "the platform redirects from %s to %s: no redirect to another host is followed; base_url may be wrong",
			origin(from), origin(r.URL))
	}
	if len(via) > maxRedirects {
		return fault.New(fault.Nonsense, "%s redirects more than %d times", origin(from), maxRedirects)
	}
	return nil
}
