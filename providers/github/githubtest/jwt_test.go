// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"crypto/rsa"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

func TestAppAuthentication(t *testing.T) {
	s := start(t, Options{Validate: true})
	other := s.AddApp(App{Keys: []*rsa.PrivateKey{otherKey()}})
	id, now := strconv.FormatInt(s.app.ID, 10), s.clock.Now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	claims := func(change jwt.MapClaims) jwt.MapClaims {
		c := jwt.MapClaims{"iss": id, "iat": at(-time.Minute), "exp": at(9 * time.Minute)}
		for name, value := range change {
			c[name] = value
			if value == nil {
				delete(c, name)
			}
		}
		return c
	}
	hs256, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims(nil)).SignedString([]byte("anything"))
	require.NoError(t, err)
	good := sign(testKey(), claims(nil))

	for name, test := range map[string]struct {
		authorization string
		status        int
		message       string
	}{
		"App ID as a string":    {"Bearer " + good, 200, ""},
		"any case of Bearer":    {"bearer " + good, 200, ""},
		"App ID as a number":    {"Bearer " + sign(testKey(), claims(jwt.MapClaims{"iss": s.app.ID})), 200, ""},
		"client ID":             {"Bearer " + sign(testKey(), claims(jwt.MapClaims{"iss": s.app.ClientID})), 200, ""},
		"exp as far as allowed": {"Bearer " + sign(testKey(), claims(jwt.MapClaims{"exp": at(600 * time.Second)})), 200, ""},
		"iat a little ahead":    {"Bearer " + sign(testKey(), claims(jwt.MapClaims{"iat": at(5 * time.Second)})), 200, ""},
		"nothing":               {"", 401, msgUndecodable},
		"an unknown scheme":     {"token " + good, 401, msgUndecodable},
		"not a JWT":             {"Bearer ghs_abc", 401, msgUndecodable},
		"the key of another":    {"Bearer " + sign(otherKey(), claims(nil)), 401, msgUndecodable},
		"the App of another":    {"Bearer " + sign(testKey(), claims(jwt.MapClaims{"iss": other.ClientID})), 401, msgUndecodable},
		"HS256":                 {"Bearer " + hs256, 401, msgUndecodable},
		"a changed signature":   {"Bearer " + good[:len(good)-8] + "AAAAAAAA", 401, msgUndecodable},
		"an unknown App ID":     {"Bearer " + sign(testKey(), claims(jwt.MapClaims{"iss": "99"})), 404, msgNoApp},
		"an unknown client ID":  {"Bearer " + sign(testKey(), claims(jwt.MapClaims{"iss": "Iv1.none"})), 401, msgIssuer},
		"no iss":                {"Bearer " + sign(testKey(), claims(jwt.MapClaims{"iss": nil})), 401, msgIssuer},
		"exp too far ahead":     {"Bearer " + sign(testKey(), claims(jwt.MapClaims{"exp": at(601 * time.Second)})), 401, msgExpiryFar},
		"exp now":               {"Bearer " + sign(testKey(), claims(jwt.MapClaims{"exp": at(0)})), 401, msgExpiry},
		"no exp":                {"Bearer " + sign(testKey(), claims(jwt.MapClaims{"exp": nil})), 401, msgExpiry},
		"exp in words":          {"Bearer " + sign(testKey(), claims(jwt.MapClaims{"exp": "soon"})), 401, msgExpiry},
		"iat ahead":             {"Bearer " + sign(testKey(), claims(jwt.MapClaims{"iat": at(6 * time.Second)})), 401, msgIssuedAt},
		"no iat":                {"Bearer " + sign(testKey(), claims(jwt.MapClaims{"iat": nil})), 401, msgIssuedAt},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.do("GET", "/app", test.authorization, nil)
			require.Equal(t, test.status, r.status, "%s", r.body)
			require.Equal(t, test.message, r.message())
		})
	}
}

func TestSeveralKeys(t *testing.T) {
	s := start(t, Options{Validate: true})
	s.SetKeys(s.app.ID, otherKey(), testKey())
	require.Equal(t, http.StatusOK, s.asApp("GET", "/app", nil).status)
	s.SetKeys(s.app.ID, otherKey())
	require.Equal(t, http.StatusUnauthorized, s.asApp("GET", "/app", nil).status)
	s.SetKeys(s.app.ID)
	require.Equal(t, http.StatusUnauthorized, s.asApp("GET", "/app", nil).status)
}

func TestPrivateKeyPEM(t *testing.T) {
	s := Start(t, Options{})
	app, _ := s.Install("acme", nil, "web") // makes a key of its own
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(app.PrivateKeyPEM()))
	require.NoError(t, err)
	require.True(t, key.Equal(app.Keys[0]))
}
