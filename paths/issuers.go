// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
)

func issuerPaths(e *Engine) []*framework.Path {
	fields := map[string]*framework.FieldSchema{
		"preset":        text("github-actions, gitlab or forgejo: fills in issuer and discovery, and says which claims are stable identity."),
		"discovery_url": text("Address whose OpenID configuration names the keys."),
		"jwks_url":      text("Address of the keys."),
		"public_keys":   texts("The keys themselves, PEM."),
		"bound_issuer":  text("What a token's iss must be."),
		"audiences":     texts("What a token's aud may be. Required."),
		"ca_cert":       text("PEM certificates to trust beside the system's."),
		"config":        text("Config whose repositories its claims name; needed for {{claims.repository}}."),
	}
	verify := map[string]*framework.FieldSchema{
		"verify": {Type: framework.TypeBool, Description: "Fetch the keys before writing it.", Default: true},
	}
	return resource{
		path: "issuers", kind: "issuer",
		help:   "Who may vouch for a job.",
		text:   "An issuer signs the id_token by which a CI job proves who it is. Give exactly one key source, or a preset that has one.",
		fields: join(fields, verify), shown: fields,
		list: e.Issuers.List,
		read: func(ctx context.Context, name string) (map[string]any, error) {
			i, err := e.Issuers.Get(ctx, name)
			if err != nil || i == nil {
				return nil, err
			}
			return map[string]any{
				"preset": i.Preset, "discovery_url": i.DiscoveryURL, "jwks_url": i.JWKSURL,
				"public_keys": list(i.PublicKeys), "bound_issuer": i.BoundIssuer, "audiences": list(i.Audiences),
				"ca_cert": i.CACert, "config": i.Config,
			}, nil
		},
		write: func(ctx context.Context, name string, in *input, patch bool) ([]string, error) {
			old, err := e.Issuers.Get(ctx, name)
			if err != nil {
				return nil, err
			}
			issuer := &identity.Issuer{}
			if patch && old != nil {
				*issuer = *old
			}
			in.text("preset", &issuer.Preset)
			in.text("discovery_url", &issuer.DiscoveryURL)
			in.text("jwks_url", &issuer.JWKSURL)
			in.texts("public_keys", &issuer.PublicKeys)
			in.text("bound_issuer", &issuer.BoundIssuer)
			in.texts("audiences", &issuer.Audiences)
			in.text("ca_cert", &issuer.CACert)
			in.text("config", &issuer.Config)
			verify := true
			in.yesNo("verify", &verify)
			if in.err != nil {
				return nil, in.err
			}
			return issuer.Warnings(), e.Issuers.Write(ctx, name, old, issuer, verify)
		},
		delete: func(ctx context.Context, name string) error {
			if err := e.Catalog.IssuerUnused(ctx, name); err != nil {
				return err
			}
			return e.Issuers.Delete(ctx, name)
		},
	}.paths()
}
