// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package gitlab makes GitLab tokens: a deploy token where that is enough, else a
// project access token with the least access level and the earliest date.
//
// It speaks to the dozen endpoints that it needs with net/http and structs of its
// own: the official client would bring some thirty modules and its own retries,
// and a mint must never be sent twice.
package gitlab

import (
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

// fieldToken is the config's one field of its own.
const fieldToken = "token"

// Platform declares GitLab.
func Platform() providers.Platform {
	read := []string{"repository=read", "registry=read", "packages=read"}
	return providers.Platform{
		Name:           "gitlab",
		Title:          "GitLab",
		DefaultBaseURL: "https://gitlab.com",
		Fields: []providers.Field{{
			Name: fieldToken, Required: true, Secret: true,
			Description: "Personal access token with the scope api, of a user of its own who is Maintainer of the projects.",
		}},
		Ceilings: map[string][]string{
			"build":   read,
			"test":    read,
			"release": {"repository=write", "registry=write", "packages=write"},
			"deploy":  read,
		},
		Vocabulary: vocabulary{},
		Connect:    connect,
	}
}

// connection is one GitLab with one credential.
type connection struct {
	base     string
	token    string
	client   *http.Client
	now      func() time.Time
	logger   hclog.Logger
	projects *projectCache
}

func connect(s providers.Settings) (providers.Connection, error) {
	base, err := transport.ParseBaseURL("base_url", s.BaseURL)
	if err != nil {
		return nil, err
	}
	token := strings.TrimSpace(s.Values[fieldToken]) // typed or read from a file it ends with a line
	if token == "" {
		return nil, fault.InvalidField(fieldToken, "must not be empty: a personal access token with the scope api")
	}
	if !printable(token) {
		return nil, fault.InvalidField(fieldToken, "holds a space or a control character; a GitLab token has none")
	}
	return &connection{
		base:  strings.TrimRight(strings.TrimSuffix(base, apiPath), "/"),
		token: token, client: s.Client, now: s.Now, logger: s.Logger,
		projects: newProjectCache(s.Now),
	}, nil
}

// printable reports whether a token can stand in a header: one that cannot would
// fail there and stand in the error.
func printable(token string) bool {
	return !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

// BaseURL is the address under which people open that GitLab, with the folder of
// an installation below one and without /api/v4.
func (c *connection) BaseURL() string { return c.base }
