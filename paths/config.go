// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"
	"maps"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/connect"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
)

// commonConfigFields are those of every platform.
func commonConfigFields(e *Engine) map[string]*framework.FieldSchema {
	var names []string
	for _, p := range e.Connections.Platforms() {
		names = append(names, p.Name)
	}
	return map[string]*framework.FieldSchema{
		"provider":        text("Platform: " + strings.Join(names, ", ") + ". It cannot change."),
		"base_url":        text("Address of the platform's API; https, except on loopback. A change needs the secret in the same write."),
		"ca_cert":         text("PEM certificates to trust beside the system's. A change needs the secret in the same write."),
		"request_timeout": {Type: framework.TypeDurationSecond, Description: "How long one request may take.", Default: seconds(connect.DefaultRequestTimeout)},
		"max_concurrency": number("Requests in flight at the platform at the most.", connect.DefaultMaxConcurrency),
		"allowed_roles":   {Type: framework.TypeCommaStringSlice, Description: "Roles that may use it, as patterns.", Default: []string{"*"}},
	}
}

// writtenConfigFields are the platforms' own.
func writtenConfigFields(e *Engine) map[string]*framework.FieldSchema {
	fields := map[string]*framework.FieldSchema{}
	for _, p := range e.Connections.Platforms() {
		for _, f := range p.Fields {
			schema := text
			if f.Secret {
				schema = secret
			}
			fields[f.Name] = schema(f.Description + " (" + p.Title + ")")
		}
	}
	return fields
}

// shownConfigFields are those of a config as it is read: of a secret only that it
// is there.
func shownConfigFields(e *Engine) map[string]*framework.FieldSchema {
	fields := commonConfigFields(e)
	for _, p := range e.Connections.Platforms() {
		for _, f := range p.Fields {
			if !f.Secret {
				fields[f.Name] = text(f.Description + " (" + p.Title + ")")
				continue
			}
			fields[f.Name+"_sha256"] = text("Fingerprint of " + f.Name + ".")
			fields[f.Name+"_set_at"] = text("When " + f.Name + " was written.")
		}
	}
	return fields
}

func configPaths(e *Engine) []*framework.Path {
	verify := map[string]*framework.FieldSchema{
		"verify": {Type: framework.TypeBool, Description: "Prove the connection before writing it.", Default: true},
	}
	return resource{
		path: "config", kind: "config",
		help:   "One connection to one platform.",
		text:   "A config says where the platform is and with which credential tokens are made there. Secrets are never read back. A write that leaves a secret out keeps it.",
		fields: join(commonConfigFields(e), writtenConfigFields(e), verify), shown: shownConfigFields(e),
		list: e.Connections.List,
		read: func(ctx context.Context, name string) (map[string]any, error) {
			c, err := e.Connections.Get(ctx, name)
			if err != nil || c == nil {
				return nil, err
			}
			return showConfig(e, c)
		},
		write: func(ctx context.Context, name string, in *input, patch bool) ([]string, error) {
			old, err := e.Connections.Get(ctx, name)
			if err != nil {
				return nil, err
			}
			c, verify := readConfig(e, in, old, patch)
			if in.err != nil {
				return nil, in.err
			}
			return nil, e.Connections.Write(ctx, name, old, c, verify)
		},
		delete: e.Roles.DeleteConfig,
	}.paths()
}

// readConfig decodes a write. Only what was written is in Values of a replacement:
// the service decides which secrets are kept.
func readConfig(e *Engine, in *input, old *connect.Config, patch bool) (c *connect.Config, verify bool) {
	c = &connect.Config{
		RequestTimeout: connect.DefaultRequestTimeout, MaxConcurrency: connect.DefaultMaxConcurrency,
		AllowedRoles: []string{"*"}, Values: map[string]string{},
	}
	if old != nil {
		c.Provider = old.Provider
	}
	if patch && old != nil {
		*c = *old
		c.Values = maps.Clone(old.Values)
	}
	in.text("provider", &c.Provider)
	in.text("base_url", &c.BaseURL)
	in.text("ca_cert", &c.CACert)
	in.duration("request_timeout", &c.RequestTimeout)
	in.number("max_concurrency", &c.MaxConcurrency)
	in.texts("allowed_roles", &c.AllowedRoles)
	for _, p := range e.Connections.Platforms() {
		for _, f := range p.Fields {
			value := c.Values[f.Name]
			if f.Secret {
				value = "" // kept by the service, where it may be
			}
			in.text(f.Name, &value)
			delete(c.Values, f.Name)
			if value != "" {
				c.Values[f.Name] = value
			}
		}
	}
	verify = true
	in.yesNo("verify", &verify)
	return c, verify
}

func showConfig(e *Engine, c *connect.Config) (map[string]any, error) {
	p, err := e.Connections.Platform(c.Provider)
	if err != nil {
		return nil, err
	}
	data := map[string]any{
		"provider": c.Provider, "base_url": c.BaseURL, "ca_cert": c.CACert,
		"request_timeout": seconds(c.RequestTimeout), "max_concurrency": c.MaxConcurrency,
		"allowed_roles": list(c.AllowedRoles),
	}
	for _, f := range p.Fields {
		if !f.Secret {
			data[f.Name] = c.Values[f.Name]
			continue
		}
		data[f.Name+"_sha256"] = c.Fingerprint(f)
		data[f.Name+"_set_at"] = ledger.Stamp(c.SetAt[f.Name])
	}
	return data, nil
}

func rotatePaths(e *Engine) []*framework.Path {
	return []*framework.Path{{
		Pattern:      "rotate-root/" + named("name"),
		DisplayAttrs: display("root-credential"),
		Fields:       map[string]*framework.FieldSchema{"name": name("config")},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: operation("Replace the config's own credential at the platform.", func(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
				name := d.Get("name").(string)
				if err := e.Connections.Rotate(ctx, name); err != nil {
					return nil, err
				}
				c, err := e.Connections.Get(ctx, name)
				if err != nil || c == nil {
					return nil, err
				}
				data, err := showConfig(e, c)
				return &logical.Response{Data: data}, err
			}, http.StatusOK, shownConfigFields(e)),
		},
		HelpSynopsis:    "Replace a config's own credential, where the platform can.",
		HelpDescription: "The new credential is known to nobody but the engine. It is stored before the old one ends.",
	}}
}
