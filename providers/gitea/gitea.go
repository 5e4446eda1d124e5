// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package gitea makes tokens for Gitea and Forgejo.
//
// Gitea's tokens have scopes and no end, and reach every repository that their
// owner reaches. So each role has an account of its own there: restricted, which
// sees nothing but what it is given, and a collaborator on exactly the role's
// repositories. Each credential is one token of that account, named by its token
// id, and lives until it is revoked.
//
// Where the server can limit a token to repositories (Forgejo 15 and later), a
// credential may be narrower than its role.
package gitea

import (
	"net/http"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Platform is Gitea as the engine sees it.
func Platform() providers.Platform {
	return providers.Platform{
		Name:  "gitea",
		Title: "Gitea",
		Fields: []providers.Field{
			{Name: "username", Description: "Name of a site administrator that is used for nothing else.", Required: true},
			{Name: "password", Description: "Its password. The account must not have two-factor login.", Required: true, Secret: true, Guessable: true},
		},
		Ceilings: map[string][]string{
			"build":   {"repository=read", "package=read"},
			"test":    {"repository=read", "package=read", "issue=write"},
			"release": {"repository=write", "package=write"},
			"deploy":  {"repository=read", "package=read"},
		},
		Vocabulary: vocabulary{},
		Connect:    func(s providers.Settings) (providers.Connection, error) { return connect(s) },
	}
}

func connect(s providers.Settings) (*connection, error) {
	if s.BaseURL == "" {
		return nil, fault.InvalidField("base_url", "is required: the address of the Gitea or Forgejo, such as https://git.example.com")
	}
	for _, field := range []string{"username", "password"} {
		if s.Values[field] == "" {
			return nil, fault.InvalidField(field, "is required")
		}
	}
	if strings.ContainsAny(s.Values["username"], ":/") {
		return nil, fault.InvalidField("username", "must be the name of an account, without : and /")
	}
	logger := s.Logger
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	base := strings.TrimSuffix(strings.TrimRight(s.BaseURL, "/"), "/api/v1")
	return &connection{
		client: &client{base: base, username: s.Values["username"], password: s.Values["password"], http: withoutRedirects(s.Client)},
		logger: logger.Named("gitea"),
	}, nil
}

// withoutRedirects is a client that reports a redirect instead of following it:
// Gitea redirects from the old name of a renamed repository to the new one, and a
// role that names the old one must not get access to whatever bears it later.
func withoutRedirects(c *http.Client) *http.Client {
	if c == nil {
		c = &http.Client{}
	}
	stay := *c
	stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &stay
}
