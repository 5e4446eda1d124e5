// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// tlsFiles are the paths of a certificate for 127.0.0.1, its key and the
// authority behind it, and what a client needs to trust them.
type tlsFiles struct {
	ca, cert, key string
	client        *tls.Config
}

const (
	// certificateLife is longer than any test and short for a key on disk.
	certificateLife = 24 * time.Hour
	// clockSkew is how far a certificate reaches back.
	clockSkew = time.Minute
)

// writeTLS makes an authority and a server certificate below dir.
func writeTLS(dir string, now time.Time) (*tlsFiles, error) {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "world authority"},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(certificateLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, authority, serverKey.Public(), authorityKey)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return storeTLS(dir, authorityDER, serverDER, keyDER)
}

func storeTLS(dir string, authority, server, key []byte) (*tlsFiles, error) {
	files := &tlsFiles{
		ca:   filepath.Join(dir, "ca.pem"),
		cert: filepath.Join(dir, "cert.pem"),
		key:  filepath.Join(dir, "key.pem"),
	}
	for _, file := range []struct {
		path, kind string
		der        []byte
	}{
		{files.ca, "CERTIFICATE", authority},
		{files.cert, "CERTIFICATE", server},
		{files.key, "PRIVATE KEY", key},
	} {
		text := pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.der})
		if err := os.WriteFile(file.path, text, 0o600); err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
	}
	certificate, err := x509.ParseCertificate(authority)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	files.client = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return files, nil
}
