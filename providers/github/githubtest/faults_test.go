// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"io"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFaultsThatAnswer(t *testing.T) {
	reset := time.Unix(1_800_000_300, 0)
	for name, test := range map[string]struct {
		fault  Fault
		status int
		header map[string]string
		body   string
		live   int
	}{
		"primary limit, 403":   {PrimaryLimit(403, reset), 403, map[string]string{"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": "1800000300", "Retry-After": ""}, msgPrimary, 0},
		"primary limit, 429":   {PrimaryLimit(429, reset), 429, map[string]string{"X-Ratelimit-Remaining": "0"}, msgPrimary, 0},
		"secondary, with wait": {SecondaryLimit(403, 7), 403, map[string]string{"Retry-After": "7", "X-Ratelimit-Remaining": ""}, msgSecondary, 0},
		"secondary, without":   {SecondaryLimit(429, 0), 429, map[string]string{"Retry-After": ""}, msgSecondary, 0},
		"HTML":                 {BadGateway(), 502, map[string]string{"Content-Type": "text/html"}, "<h1>502 Bad Gateway</h1>", 0},
		"malformed":            {Malformed(), 201, nil, `{"expires_at": "2`, 1},
		"elsewhere":            {Fault{Status: 301, Header: http.Header{"location": {"https://elsewhere.example"}}}, 301, map[string]string{"Location": "https://elsewhere.example"}, "", 0},
		"after the mint":       {Fault{After: true, Status: 503}, 503, nil, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Options{Validate: true})
			test.fault.Match, test.fault.Times = accessTokens, 2
			s.Inject(test.fault)
			require.Equal(t, http.StatusOK, s.asApp("GET", "/app", nil).status, "not matched")
			for range 2 {
				r := s.asApp("POST", s.mintPath(), nil)
				require.Equal(t, test.status, r.status)
				require.Contains(t, string(r.body), test.body)
				for name, value := range test.header {
					require.Equal(t, value, r.header.Get(name), name)
				}
			}
			require.Equal(t, 2*test.live, s.Live())
			require.Equal(t, http.StatusCreated, s.asApp("POST", s.mintPath(), nil).status, "used up")
		})
	}
}

func TestReset(t *testing.T) {
	for name, options := range map[string]Options{"HTTP": {}, "TLS": {TLS: true}} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options)
			s.client.Transport = trusting(t, s.Simulator)
			s.Inject(Fault{Match: accessTokens, Times: 1, Reset: true})
			_, err := s.try("POST", s.mintPath(), "Bearer "+s.jwt(), nil)
			require.Error(t, err)
			if !options.TLS {
				require.ErrorIs(t, err, syscall.ECONNRESET)
			}
			require.Zero(t, s.Live())

			dropped := DropAnswer()
			dropped.Match, dropped.Times = accessTokens, 1
			s.Inject(dropped)
			_, err = s.try("POST", s.mintPath(), "Bearer "+s.jwt(), nil)
			require.Error(t, err)
			require.Equal(t, 1, s.Live(), "made, and nobody knows")
			require.Equal(t, http.StatusCreated, s.asApp("POST", s.mintPath(), nil).status)
		})
	}
}

func TestHang(t *testing.T) {
	s := start(t, Options{})
	for _, after := range []bool{false, true} {
		before := s.Live()
		release, done := make(chan struct{}), make(chan int, 1)
		s.Inject(Fault{Match: accessTokens, Times: 1, After: after, Hang: release})
		go func() {
			r, _ := s.try("POST", s.mintPath(), "Bearer "+s.jwt(), nil)
			done <- r.status
		}()
		seen := func() bool { return s.Counts()["POST /app/installations/{installation_id}/access_tokens"] > before }
		require.Eventually(t, seen, 5*time.Second, time.Millisecond)
		if after {
			require.Eventually(t, func() bool { return s.Live() == before+1 }, 5*time.Second, time.Millisecond)
		}
		select {
		case <-done:
			require.Fail(t, "it did not hang")
		default:
		}
		close(release)
		require.Equal(t, http.StatusCreated, <-done)
		require.Equal(t, before+1, s.Live())
	}
}

func TestHangEndsWithTheSimulator(t *testing.T) {
	s := start(t, Options{})
	s.Inject(Fault{Hang: make(chan struct{})})
	done := make(chan error, 1)
	go func() {
		_, err := s.try("GET", "/app", "", nil)
		done <- err
	}()
	require.Eventually(t, func() bool { return s.Counts()["GET /app"] == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, s.Close())
	require.Error(t, <-done)
}

func TestLatencyAndDelay(t *testing.T) {
	s := start(t, Options{Latency: 30 * time.Millisecond})
	took := func() time.Duration {
		began := time.Now()
		require.Equal(t, http.StatusOK, s.asApp("GET", "/app", nil).status)
		return time.Since(began)
	}
	require.GreaterOrEqual(t, took(), 30*time.Millisecond)
	s.SetLatency(0)
	s.Inject(Fault{Times: 1, Delay: 40 * time.Millisecond})
	require.GreaterOrEqual(t, took(), 40*time.Millisecond)
}

func TestStopAndClear(t *testing.T) {
	s := start(t, Options{})
	teapot := Fault{Status: http.StatusTeapot}
	stop := s.Inject(teapot)
	require.Equal(t, http.StatusTeapot, s.asApp("GET", "/app", nil).status)
	require.Equal(t, http.StatusTeapot, s.asApp("GET", "/app", nil).status, "until it is stopped")
	stop()
	require.Equal(t, http.StatusOK, s.asApp("GET", "/app", nil).status)
	s.Inject(teapot)
	s.Inject(BadGateway())
	require.Equal(t, http.StatusTeapot, s.asApp("GET", "/app", nil).status, "the first")
	s.ClearFaults()
	require.Equal(t, http.StatusOK, s.asApp("GET", "/app", nil).status)
}

func TestHourlyLimit(t *testing.T) {
	s := start(t, Options{HourlyLimit: 3, Validate: true})
	for i := range 3 {
		r := s.asApp("GET", "/app", nil)
		require.Equal(t, http.StatusOK, r.status)
		require.Equal(t, "3", r.header.Get("X-Ratelimit-Limit"))
		require.Equal(t, strconv.Itoa(2-i), r.header.Get("X-Ratelimit-Remaining"))
	}
	r := s.asApp("GET", "/app", nil)
	require.Equal(t, http.StatusForbidden, r.status)
	require.Contains(t, r.message(), "API rate limit exceeded for App")
	require.Equal(t, "0", r.header.Get("X-Ratelimit-Remaining"))
	require.Equal(t, strconv.FormatInt(s.clock.Now().Add(time.Hour).Unix(), 10), r.header.Get("X-Ratelimit-Reset"))
	require.Equal(t, http.StatusUnauthorized, s.do("GET", "/app", "", nil).status, "another identity")
	s.clock.add(time.Hour)
	require.Equal(t, http.StatusOK, s.asApp("GET", "/app", nil).status)
}

func TestLimitHeadersAreOnEveryAnswer(t *testing.T) {
	s := start(t, Options{Validate: true})
	for _, r := range []response{
		s.asApp("GET", "/app", nil), s.asApp("POST", s.mintPath(), nil), s.asApp("GET", "/nowhere", nil), s.do("GET", "/app", "", nil),
		s.asToken(s.token(nil), "DELETE", revocation, nil),
	} {
		remaining, err := strconv.Atoi(r.header.Get("X-Ratelimit-Remaining"))
		require.NoError(t, err)
		require.Positive(t, remaining)
		require.NotEmpty(t, r.header.Get("X-Github-Request-Id"))
	}
}

func TestMaxConcurrent(t *testing.T) {
	s := start(t, Options{MaxConcurrent: 1, Validate: true})
	release, done := make(chan struct{}), make(chan int, 1)
	s.Inject(Fault{Times: 1, Hang: release})
	go func() {
		r, _ := s.try("GET", "/app", "Bearer "+s.jwt(), nil)
		done <- r.status
	}()
	require.Eventually(t, func() bool { return s.Counts()["GET /app"] == 1 }, 5*time.Second, time.Millisecond)
	r := s.asApp("GET", "/app", nil)
	require.Equal(t, http.StatusForbidden, r.status)
	require.Equal(t, msgSecondary, r.message())
	require.Equal(t, "60", r.header.Get("Retry-After"))
	close(release)
	require.Equal(t, http.StatusOK, <-done)
	require.Equal(t, 2, s.MaxConcurrent())
}

func TestClientThatHangsUp(t *testing.T) {
	s := start(t, Options{})
	s.Inject(Fault{Match: accessTokens, Times: 1, After: true, Hang: make(chan struct{})})
	s.client.Timeout = 50 * time.Millisecond
	_, err := s.try("POST", s.mintPath(), "Bearer "+s.jwt(), nil)
	require.Error(t, err)
	require.NotErrorIs(t, err, io.EOF)
	require.Equal(t, 1, s.Live())
}
