// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// trusting trusts a Simulator's CA, and speaks HTTP/2 where it can.
func trusting(t *testing.T, s *Simulator) *http.Transport {
	t.Helper()
	transport := &http.Transport{ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	if ca := s.CAPEM(); ca != nil {
		pool := x509.NewCertPool()
		require.True(t, pool.AppendCertsFromPEM(ca))
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return transport
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func TestTLS(t *testing.T) {
	s := start(t, Options{TLS: true, Validate: true})
	require.True(t, strings.HasPrefix(s.URL(), "https://127.0.0.1:"))
	s.client.Transport = trusting(t, s.Simulator)
	require.Equal(t, http.StatusOK, s.asApp("GET", "/app", nil).status)
	s.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
	_, err := s.try("GET", "/app", "", nil)
	var unknown x509.UnknownAuthorityError
	require.True(t, errors.As(err, &unknown), "%v", err)
}

func TestPathPrefix(t *testing.T) {
	s := start(t, Options{PathPrefix: "/api/v3", Validate: true})
	require.True(t, strings.HasSuffix(s.URL(), "/api/v3"))
	require.Equal(t, http.StatusOK, s.asApp("GET", "/app", nil).status)
	for i := range 40 {
		s.AddInstallation(Installation{AppID: s.app.ID, Account: fmt.Sprintf("account-%d", i)})
	}
	link := s.asApp("GET", "/app/installations", nil).header.Get("Link")
	require.Contains(t, link, s.URL()+"/app/installations?page=2")
	r, err := s.client.Get(strings.TrimSuffix(s.URL(), "/api/v3") + "/app")
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Equal(t, http.StatusNotFound, r.StatusCode)
	require.NotContains(t, s.Counts(), "unknown", "that was not the API")
}

func TestClose(t *testing.T) {
	s, err := New(Options{})
	require.NoError(t, err)
	s.AddRepositories("acme", "web")
	require.NotEmpty(t, s.Head("acme", "web", "main"))
	require.DirExists(t, s.dir)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.NoDirExists(t, s.dir)
	_, err = net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
	require.Error(t, err)
}

func TestNewFails(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, err = New(Options{Address: taken.Addr().String()})
	require.ErrorContains(t, err, "githubtest: listen: ")
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// report is a TB that remembers what a test would have been told.
type report struct {
	testing.TB
	cleanup []func()
	errors  []string
}

func (r *report) Helper()          {}
func (r *report) Cleanup(f func()) { r.cleanup = append(r.cleanup, f) }
func (r *report) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestStartFailsTheTestForViolations(t *testing.T) {
	told := &report{TB: t}
	s := Start(told, Options{Validate: true})
	s.describe.add("a violation")
	for _, f := range told.cleanup {
		f()
	}
	require.Equal(t, []string{"GitHub's REST description: a violation"}, told.errors)
}

func TestInstallationNeedsAnApp(t *testing.T) {
	s := start(t, Options{})
	require.Panics(t, func() { s.AddInstallation(Installation{AppID: 7, Account: "acme"}) })
}
