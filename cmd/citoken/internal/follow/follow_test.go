// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/cijob"
	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/login"
)

// mount answers for the events of a mount: three of them, then none. Each failure
// that is queued is answered first.
type mount struct {
	mu       sync.Mutex
	failures []int
	asked    []string
}

func (m *mount) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := r.URL.Query().Get("after")
	m.asked = append(m.asked, after)
	if len(m.failures) > 0 {
		status := m.failures[0]
		m.failures = m.failures[1:]
		w.WriteHeader(status)
		return
	}
	next := map[string]string{"": "1", "1": "2", "2": "3"}[after]
	if next == "" {
		fmt.Fprintf(w, `{"data": {"events": [], "next": %q}}`, after)
		return
	}
	fmt.Fprintf(w, `{"data": {"events": ["{\"n\":%s}"], "next": %q}}`, next, next)
}

// stream reads from the mount; it complains to the test's log.
func stream(t *testing.T, m *mount, out *bytes.Buffer) *Stream {
	t.Helper()
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "s.siem")
	t.Setenv("VAULT_MAX_RETRIES", "0")
	return &Stream{
		Mount: "ci", Interval: time.Millisecond, CursorFile: filepath.Join(t.TempDir(), "cursor"), Out: out, Complain: t.Logf,
		Open: func(ctx context.Context) (*login.Session, error) {
			return login.Open(ctx, login.Options{Method: login.Auto}, cijob.Current())
		},
	}
}

func TestItReadsOnWhereItEnded(t *testing.T) {
	var out bytes.Buffer
	s := stream(t, &mount{}, &out)
	for _, want := range []string{"{\"n\":1}\n", "{\"n\":2}\n", "{\"n\":3}\n", ""} {
		out.Reset()
		require.NoError(t, s.Run(t.Context()))
		require.Equal(t, want, out.String())
	}
	text, err := os.ReadFile(s.CursorFile)
	require.NoError(t, err)
	require.Equal(t, "3\n", string(text))
}

func TestFollowingOutlastsAnOutage(t *testing.T) {
	var out bytes.Buffer
	m := &mount{failures: []int{503, 403, 500}}
	s := stream(t, m, &out)
	s.Follow = true
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stopped := make(chan error)
	go func() { stopped <- s.Run(ctx) }()
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(s.CursorFile)
		return string(text) == "3\n"
	}, 30*time.Second, time.Millisecond)
	cancel()
	require.NoError(t, <-stopped)
	require.Equal(t, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n", out.String())
}

func TestWithoutFollowingAnOutageIsAnError(t *testing.T) {
	var out bytes.Buffer
	err := stream(t, &mount{failures: []int{503}}, &out).Run(t.Context())
	require.ErrorContains(t, err, "Vault answers 503")
}

// full is a disk that takes no more after some writes.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(p), nil
}

func TestWhatIsNotWrittenIsReadAgain(t *testing.T) {
	m := &mount{}
	s := stream(t, m, nil)
	s.Out, s.Follow = &full{left: 1}, true
	require.ErrorContains(t, s.Run(t.Context()), "no space left")
	text, err := os.ReadFile(s.CursorFile)
	require.NoError(t, err)
	require.Equal(t, "1\n", string(text), "the second event is not counted as written")

	s = stream(t, m, nil)
	s.CursorFile = filepath.Join(t.TempDir(), "no", "such", "folder")
	s.Out = &bytes.Buffer{}
	require.ErrorContains(t, s.Run(t.Context()), "cursor")
}
