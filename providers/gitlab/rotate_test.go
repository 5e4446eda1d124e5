// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// journal is what a caller of Rotate has written down.
type journal struct {
	token string
	fail  error
}

func (j *journal) prepare(fields map[string]string) error {
	if j.fail == nil {
		j.token = fields["token"]
	}
	return j.fail
}

// addTwin gives our user a second token of the same name, whose value is lost.
func (w *world) addTwin() {
	w.AddPersonalToken(w.user, "vault", []string{"api"}, start.AddDate(0, 0, 30))
}

// requireRotates: from here a rotation goes through and the old token is dead.
func (w *world) requireRotates(t *testing.T, token string) string {
	t.Helper()
	fields, err := w.connect(t, token).Rotate(t.Context(), nil)
	require.NoError(t, err)
	require.True(t, w.IsLive(fields["token"]))
	require.False(t, w.IsLive(token))
	return fields["token"]
}

// TestRotateTwinLosesNothing: any answer can be lost, or any write fail; a token
// that is written down works, and the next rotation goes through.
func TestRotateTwinLosesNothing(t *testing.T) {
	broken := errors.New("storage is full")
	for name, c := range map[string]struct {
		fault *gitlabtest.Fault
		fail  error
	}{
		"first replacement, answer lost":  {&gitlabtest.Fault{Method: http.MethodPost, Drop: true}, nil},
		"first replacement, garbage":      {&gitlabtest.Fault{Method: http.MethodPost, Rewrite: func([]byte) []byte { return []byte("{}") }}, nil},
		"first replacement, down":         {&gitlabtest.Fault{Method: http.MethodPost, Status: 503}, nil},
		"write fails":                     {nil, broken},
		"second replacement, down":        {&gitlabtest.Fault{Method: http.MethodPost, Skip: 1, Status: 503}, nil},
		"second replacement, all is lost": {&gitlabtest.Fault{Skip: 3, Drop: true}, nil},
		"looking for the twin fails":      {&gitlabtest.Fault{Skip: 1, Status: 503}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.addTwin()
			if c.fault != nil {
				w.Fail(*c.fault)
			}
			j := &journal{token: w.token, fail: c.fail}
			_, err := w.connect(t, w.token).Rotate(t.Context(), j.prepare)
			require.Error(t, err)
			w.Heal()
			require.True(t, w.IsLive(j.token), "what is written down is dead")
			w.requireRotates(t, j.token)
		})
	}
}

// TestRotateTwin: with no faults, again and again; a lost last answer is no fault.
func TestRotateTwin(t *testing.T) {
	w := newWorld(t)
	w.addTwin()
	token := w.token
	for range 3 {
		token = w.requireRotates(t, token)
		w.advance(24 * time.Hour)
	}
	w.Fail(gitlabtest.Fault{Method: http.MethodPost, Skip: 1, Drop: true})
	token = w.requireRotates(t, token)
	w.Heal()

	w.addTwin()
	_, err := w.connect(t, token).Rotate(t.Context(), nil)
	require.Equal(t, fault.Refused, fault.KindOf(err), err)
	require.ErrorContains(t, err, `2 more tokens named "vault"`)
	require.True(t, w.IsLive(token))
}

// TestRotateAlone: the write is tried before anything happens, and a lost answer
// is told from a rotation that did not take place.
func TestRotateAlone(t *testing.T) {
	w := newWorld(t)
	w.AddPersonalToken(w.user, "somebody else's", []string{"api"}, time.Time{})
	w.AddPersonalToken(w.user, "vault", []string{"read_api"}, time.Time{})
	j := &journal{token: w.token, fail: errors.New("storage is full")}
	_, err := w.connect(t, w.token).Rotate(t.Context(), j.prepare)
	require.ErrorIs(t, err, j.fail)
	require.True(t, w.IsLive(w.token))

	j.fail = nil
	w.Fail(gitlabtest.Fault{Method: http.MethodPost, Status: 503})
	_, err = w.connect(t, w.token).Rotate(t.Context(), j.prepare)
	require.Equal(t, fault.Unavailable, fault.KindOf(err), err)
	w.Heal()
	token := w.requireRotates(t, j.token)

	w.Fail(gitlabtest.Fault{Method: http.MethodPost, Drop: true})
	_, err = w.connect(t, token).Rotate(t.Context(), j.prepare)
	require.Equal(t, fault.Unauthorized, fault.KindOf(err), err)
	require.ErrorContains(t, err, "the answer with the new one is lost")
}

// TestRotateKeepsTheNewToken: when the last write fails the caller still gets what
// works.
func TestRotateKeepsTheNewToken(t *testing.T) {
	w := newWorld(t)
	broken, calls := errors.New("storage is full"), 0
	fields, err := w.connect(t, w.token).Rotate(t.Context(), func(map[string]string) error {
		if calls++; calls == 2 {
			return broken
		}
		return nil
	})
	require.ErrorIs(t, err, broken)
	require.True(t, w.IsLive(fields["token"]))
}

func TestExpires(t *testing.T) {
	w := newWorld(t)
	at, err := w.connect(t, w.token).Expires(t.Context())
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 4, 13, 0, 0, 0, 0, time.UTC), at)

	w.AddPersonalToken(w.user, "vault", []string{"api"}, start.AddDate(0, 0, 10))
	at, err = w.connect(t, w.token).Expires(t.Context())
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 3, 24, 0, 0, 0, 0, time.UTC), at, "the twin's")

	other := w.AddUser("immortal")
	at, err = w.as(t, other).Expires(t.Context())
	require.NoError(t, err)
	require.NotZero(t, at)
	at, err = w.connect(t, w.AddPersonalToken(other, "forever", []string{"api"}, time.Time{})).Expires(t.Context())
	require.NoError(t, err)
	require.Zero(t, at)
	_, err = w.connect(t, "glpat-unknown").Expires(t.Context())
	require.Equal(t, fault.Unauthorized, fault.KindOf(err))
}

// TestLifetimes: a new token gets as long as the old one was made for.
func TestLifetimes(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.token)
	for days, want := range map[int]string{30: "2026-04-13", 0: "2026-03-15", 500: "2027-03-14"} {
		end := date{midnightOf(start).AddDate(0, 0, days)}
		next := c.nextExpiry(accessAnswer{CreatedAt: start, ExpiresAt: &end})
		require.Equal(t, want, next.Format(time.DateOnly))
	}
	require.Nil(t, c.nextExpiry(accessAnswer{CreatedAt: start}))
	forever := w.AddPersonalToken(w.user, "forever", []string{"api"}, time.Time{})
	w.requireRotates(t, forever)
}

func midnightOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
