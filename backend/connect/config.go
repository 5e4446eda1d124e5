// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package connect keeps the connections to platforms: what operators write of
// them, the immutable client that is made of each version, and the gate that all
// calls of a config pass.
package connect

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Defaults of the common fields.
const (
	DefaultRequestTimeout = 10 * time.Second
	DefaultMaxConcurrency = 64
	mostConcurrency       = 1000
)

// Config is one connection to one platform, as it is stored.
type Config struct {
	Provider string `json:"provider"`
	// BaseURL is as it was written; Endpoint is what the provider made of it.
	BaseURL        string        `json:"base_url"`
	Endpoint       string        `json:"endpoint"`
	CACert         string        `json:"ca_cert"`
	RequestTimeout time.Duration `json:"request_timeout"`
	MaxConcurrency int           `json:"max_concurrency"`
	AllowedRoles   []string      `json:"allowed_roles"`
	// Values are the provider's own fields, secrets included.
	Values map[string]string `json:"values"`
	// SetAt is when each secret was written.
	SetAt map[string]time.Time `json:"set_at"`
	// FingerprintKey keys the fingerprints of what people may have chosen.
	FingerprintKey []byte `json:"fingerprint_key"`
	// RetiredAt is when the config left this address; zero where it has not.
	RetiredAt time.Time `json:"retired_at,omitzero"`
	// Revision is another one whenever somebody writes the config. The replacement of
	// its own credential changes nothing of what it is for, and keeps it.
	Revision string `json:"revision,omitempty"`
}

// Account is the owner of repositories that a role names without one.
func (c *Config) Account() string { return c.Values["organization"] }

// lastSet is when the newest of its secrets was written.
func (c *Config) lastSet() (last time.Time) {
	for _, at := range c.SetAt {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// Fingerprint is what a read shows in the place of a secret; empty when not set.
func (c *Config) Fingerprint(f providers.Field) string {
	value := c.Values[f.Name]
	switch {
	case value == "":
		return ""
	case f.Guessable:
		keyed := hmac.New(sha256.New, c.FingerprintKey)
		keyed.Write([]byte(value))
		return hex.EncodeToString(keyed.Sum(nil))
	case f.Fingerprint != nil:
		return f.Fingerprint(value)
	}
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// checkCommon judges the fields that all platforms share.
func (c *Config) checkCommon() error {
	if c.RequestTimeout <= 0 || c.RequestTimeout > 5*time.Minute {
		return fault.InvalidField("request_timeout", "must be from 1s to 5m")
	}
	if c.MaxConcurrency < 1 || c.MaxConcurrency > mostConcurrency {
		return fault.InvalidField("max_concurrency", "must be from 1 to %d", mostConcurrency)
	}
	return nil
}

// checkFields judges which of the platform's own fields are there.
func (c *Config) checkFields(p providers.Platform) error {
	if c.BaseURL == "" {
		return fault.InvalidField("base_url", "is required for %s: its address, such as https://git.example.com", p.Title)
	}
	known := map[string]bool{}
	for _, f := range p.Fields {
		known[f.Name] = true
		if f.Required && c.Values[f.Name] == "" {
			return fault.InvalidField(f.Name, "is required for %s: %s", p.Title, f.Description)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Values)) {
		if !known[name] && c.Values[name] != "" {
			return fault.InvalidField(name, "is not a field of provider %q", p.Name)
		}
	}
	return nil
}

// keep takes over the secrets that a write left out, and the key of the fingerprints. It reports whether every
// secret that there is came with the write.
func (c *Config) keep(old *Config, p providers.Platform, now time.Time) (allWritten bool) {
	c.FingerprintKey = make([]byte, sha256.Size)
	rand.Read(c.FingerprintKey) // it never fails
	if old != nil {
		c.FingerprintKey = old.FingerprintKey
	}
	allWritten = true
	c.SetAt = map[string]time.Time{}
	for _, f := range p.Fields {
		if !f.Secret {
			continue
		}
		if c.Values[f.Name] != "" {
			c.SetAt[f.Name] = now.UTC().Truncate(time.Second)
			continue
		}
		if old == nil || old.Values[f.Name] == "" {
			continue
		}
		allWritten = false
		c.Values[f.Name] = old.Values[f.Name]
		c.SetAt[f.Name] = old.SetAt[f.Name]
	}
	return allWritten
}

func secretNames(p providers.Platform) string {
	var names []string
	for _, f := range p.Fields {
		if f.Secret {
			names = append(names, f.Name)
		}
	}
	return strings.Join(names, ", ")
}
