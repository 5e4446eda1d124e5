// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/providertest"
)

func TestConformance(t *testing.T) {
	for name, wide := range map[string][]string{
		"deploy token":         {"repository=read", "registry=write", "packages=write"},
		"project access token": {"repository=write", "registry=read"},
		"whole API":            {"api=write"},
	} {
		for twin, add := range map[string]bool{"alone": false, "with a twin": true} {
			t.Run(name+" "+twin, func(t *testing.T) {
				providertest.Run(t, providertest.Harness{
					Platform: Platform(),
					NewSite:  func(t *testing.T) providertest.Site { return newSite(t, wide, add) },
				})
			})
		}
	}
}

func newSite(t *testing.T, wide []string, twin bool) providertest.Site {
	w := newWorld(t)
	if twin {
		w.AddPersonalToken(w.user, "vault", []string{"api"}, start.AddDate(0, 0, 30))
	}
	w.AddProject("acme/closed")
	w.CloseProject("acme/closed")
	g := grant(t, wide...)
	narrow := grant(t, "repository=read")
	refused := grant(t, "repository=write")
	refused.Repositories = []string{"closed"}
	return providertest.Site{
		Settings: w.settings(t, w.token),
		Grant:    g, Narrower: narrow, Refused: refused,
		IsLive:    func(_ *testing.T, secret string) bool { return w.IsLive(secret) },
		CountLive: func(*testing.T) int { return len(w.Live()) },
		Tampers:   tampers(g),
	}
}

// tampers let GitLab answer with more than was asked.
func tampers(g providers.Grant) []providertest.Tamper {
	scope := func(t *testing.T, token *providers.Token, err error) {
		require.NoError(t, err)
		require.Contains(t, token.Permissions, providers.Permission{Resource: "create_runner", Level: providers.Write})
	}
	level := func(t *testing.T, token *providers.Token, err error) {
		require.NoError(t, err)
		require.Contains(t, token.Permissions, providers.Permission{Resource: "access_level", Level: providers.Admin})
	}
	list := []providertest.Tamper{{
		Name: "one scope more", Method: http.MethodPost, Check: scope,
		Rewrite: func(body []byte) []byte {
			return bytes.Replace(body, []byte(`"scopes":[`), []byte(`"scopes":["create_runner",`), 1)
		},
	}, {
		Name: "no scopes", Method: http.MethodPost,
		Rewrite: func(body []byte) []byte {
			return bytes.Replace(body, []byte(`"scopes":[`), []byte(`"scopes":[],"x":[`), 1)
		},
		Check: func(t *testing.T, _ *providers.Token, err error) {
			require.Equal(t, fault.Nonsense, fault.KindOf(err), err)
		},
	}}
	if p, _ := planFor(g.Permissions); p.kind == projectToken {
		list = append(list, providertest.Tamper{
			Name: "GitLab's default level", Method: http.MethodPost, Check: level,
			Rewrite: func(body []byte) []byte {
				return bytes.Replace(body, []byte(`"access_level":30`), []byte(`"access_level":40`), 1)
			},
		})
	}
	return list
}

// TestMaintainerIsEnough: our user needs no more than that, and no less.
func TestMaintainerIsEnough(t *testing.T) {
	w := newWorld(t)
	dev := w.AddUser("dev")
	w.SetMember(dev, "acme", gitlabtest.Developer)
	for _, permission := range []string{"repository=read", "repository=write"} {
		_, handle := mint(t, w.connect(t, w.token), permission)
		require.NoError(t, w.connect(t, w.token).Revoke(t.Context(), handle))
		_, err := w.as(t, dev).Mint(t.Context(), grant(t, permission))
		require.Equal(t, fault.Refused, fault.KindOf(err), err)
		require.ErrorContains(t, err, "Maintainer")
	}
	bot := w.AddBot("group_bot")
	w.SetMember(bot, "acme", gitlabtest.Maintainer)
	mint(t, w.as(t, bot), "repository=read")
	_, err := w.as(t, bot).Mint(t.Context(), grant(t, "repository=write"))
	require.ErrorContains(t, err, "a group's or project's own token cannot make one")
}
