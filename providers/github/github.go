// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package github makes and kills installation tokens of a GitHub App, on
// github.com, on Enterprise Cloud with data residency and on Enterprise Server.
//
// GitHub's tokens live one hour, cannot be named and cannot be listed: a
// connection has neither a Finder nor an Observer. README.md says what to create
// there.
package github

import (
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
)

// Name is what a config calls this provider.
const Name = "github"

// The provider's own config fields.
const (
	fieldAppID        = "app_id"
	fieldPrivateKey   = "private_key"
	fieldOrganization = "organization"
	fieldInstallation = "installation_id"
)

// Platform declares GitHub.
func Platform() providers.Platform {
	return providers.Platform{
		Name:           Name,
		Title:          "GitHub",
		DefaultBaseURL: publicAPI,
		LongestLife:    time.Hour,
		Fields:         fields(),
		Ceilings:       ceilings(),
		Vocabulary:     Vocabulary{},
		Connect:        connect,
	}
}

func fields() []providers.Field {
	return []providers.Field{{
		Name:        fieldAppID,
		Description: "App ID or client ID of the GitHub App.",
		Required:    true,
	}, {
		Name:        fieldPrivateKey,
		Description: "Private key of the GitHub App: PEM, PKCS#1 or PKCS#8. Its fingerprint is the SHA-256 of the public key's DER (PKIX), in hex: what GitHub shows beside the key in base64.",
		Required:    true,
		Secret:      true,
		Fingerprint: Fingerprint,
	}, {
		Name:        fieldOrganization,
		Description: "Account (organization or user) that roles mean when they name none.",
	}, {
		Name:        fieldInstallation,
		Description: "Installation of the App on the organization. Found by itself where it is left out.",
	}}
}

func ceilings() map[string][]string {
	return map[string][]string{
		"build":   {"contents=read", "packages=read", "actions=read", "metadata=read", "checks=write", "statuses=write"},
		"test":    {"contents=read", "packages=read", "metadata=read", "checks=write", "statuses=write", "pull_requests=write"},
		"release": {"contents=write", "packages=write", "attestations=write", "statuses=write", "metadata=read"},
		"deploy":  {"contents=read", "packages=read", "metadata=read", "actions=read", "deployments=write", "statuses=write"},
	}
}
