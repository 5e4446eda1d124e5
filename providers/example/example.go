// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package example is the least that a provider is: one for a platform that does not
// exist. A provider for one that does begins as a copy of this folder; see
// CONTRIBUTING.md. It is held to the contract like the others and is not built in.
package example

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Platform declares the platform.
func Platform() providers.Platform {
	read := []string{"code=read"}
	return providers.Platform{
		Name:           "example",
		Title:          "Example",
		DefaultBaseURL: "https://api.example.com",
		Fields: []providers.Field{{
			Name: "token", Required: true, Secret: true,
			Description: "Token of a service account that may make tokens.",
		}},
		Ceilings: map[string][]string{
			"build": read, "test": read, "deploy": read,
			"release": {"code=write"},
		},
		Vocabulary: vocabulary{},
		Connect:    connect,
	}
}

// vocabulary implements providers.Vocabulary.
type vocabulary struct{}

// Check refuses what the platform does not have, and what could outlive a lease.
func (vocabulary) Check(p providers.Permission) error {
	known := []string{"code=read", "code=write", "settings=admin"}
	if !slices.Contains(known, p.String()) {
		return fault.InvalidField("permissions", "%s: there is no such permission; there are %s", p, strings.Join(known, ", "))
	}
	return nil
}

// Destructive: the settings of a repository are more than its code.
func (vocabulary) Destructive(p providers.Permission) bool { return p.Resource == "settings" }

func connect(s providers.Settings) (providers.Connection, error) {
	token := s.Values["token"]
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fault.InvalidField("token", "is required, and has no spaces")
	}
	return &connection{base: strings.TrimRight(s.BaseURL, "/"), token: token, client: s.Client, logger: s.Logger}, nil
}

// Check implements providers.Connection.
func (c *connection) Check(g providers.Grant) error {
	switch {
	case g.Account == "":
		return fault.InvalidField("repositories", "must name their owner: owner/name")
	case len(g.Repositories) == 0 || slices.Contains(g.Repositories, ""):
		return fault.InvalidField("repositories", "is required: name at least one repository")
	case len(g.Permissions) == 0:
		return fault.InvalidField("permissions", "is required: name at least one, such as code=read")
	}
	for _, p := range g.Permissions {
		if err := (vocabulary{}).Check(p); err != nil {
			return err
		}
	}
	return nil
}

// A token's name holds its id and a mark of the mount: two mounts may share the
// service account, and each must know its own.
var tokenID = regexp.MustCompile(`^[0-9]{10}-[0-9a-f]{24}$`)

func tokenName(mount, id string) string {
	sum := sha256.Sum256([]byte(mount))
	return id + "." + hex.EncodeToString(sum[:6])
}

// idOf is the id in the name of a token of the mount's; empty where it is none.
func idOf(mount, name string) string {
	id, _, _ := strings.Cut(name, ".")
	if !tokenID.MatchString(id) || name != tokenName(mount, id) {
		return ""
	}
	return id
}
