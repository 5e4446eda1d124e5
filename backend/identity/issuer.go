// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"net/url"
	"slices"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

// Issuer says who may vouch for a job. Its keys come from exactly one of
// DiscoveryURL, JWKSURL and PublicKeys.
type Issuer struct {
	Name string `json:"name"`
	// Preset is the name of a Preset, or empty.
	Preset string `json:"preset,omitempty"`
	// BoundIssuer is what a token's iss must be. It follows DiscoveryURL, else the
	// preset. Empty beside a key source without either: iss is not looked at.
	BoundIssuer  string   `json:"bound_issuer,omitempty"`
	DiscoveryURL string   `json:"discovery_url,omitempty"`
	JWKSURL      string   `json:"jwks_url,omitempty"`
	PublicKeys   []string `json:"public_keys,omitempty"`
	// Audiences are what a token may be made out to; one of them must be in its aud.
	Audiences []string `json:"audiences"`
	// CACert holds PEM certificates that are trusted beside the system's.
	CACert string `json:"ca_cert,omitempty"`
	// Config is the connection whose repositories the claims name.
	Config string `json:"config,omitempty"`
	// Revision is another one with every write.
	Revision string `json:"revision,omitempty"`
}

// Complete fills in what the preset knows and checks the whole. What is written
// beside a preset wins over it. Its errors are fault.Invalid with the field named.
// The answer is what to verify with; what was written is what to keep and show.
func (i Issuer) Complete() (Issuer, error) {
	preset, err := i.preset()
	if err != nil {
		return Issuer{}, err
	}
	i = i.filled(preset)
	if err := i.checkSource(preset); err != nil {
		return Issuer{}, err
	}
	if strings.HasSuffix(i.DiscoveryURL, wellKnown) {
		return Issuer{}, fault.InvalidField("discovery_url", "is the issuer's address; leave out %s, which is added to it", wellKnown)
	}
	if i.DiscoveryURL, err = address("discovery_url", i.DiscoveryURL); err != nil {
		return Issuer{}, err
	}
	if i.JWKSURL, err = address("jwks_url", i.JWKSURL); err != nil {
		return Issuer{}, err
	}
	if i.BoundIssuer == "" {
		i.BoundIssuer = i.DiscoveryURL
	}
	if len(i.PublicKeys) > 0 {
		if _, err := parsePublicKeys(i.PublicKeys); err != nil {
			return Issuer{}, err
		}
	}
	if _, err := transport.New(transport.Options{CACert: i.CACert}); err != nil {
		return Issuer{}, err
	}
	return i, i.checkAudiences()
}

// Warnings say what an operator may not have meant.
func (i Issuer) Warnings() []string {
	whole, err := i.Complete()
	if err != nil || whole.BoundIssuer != "" {
		return nil
	}
	return []string{"bound_issuer is not set: every id_token that these keys sign passes, whatever issuer it names"}
}

func (i Issuer) preset() (Preset, error) {
	if i.Preset == "" {
		return Preset{}, nil
	}
	preset, ok := PresetOf(i.Preset)
	if !ok {
		return Preset{}, fault.InvalidField("preset", "there is none of the name %s; allowed: %s", show(i.Preset), strings.Join(presetNames(), ", "))
	}
	return preset, nil
}

// filled takes from the preset what is not written: the issuer, unless a discovery
// address says another one, and, where no key source is written, the discovery at
// the issuer's address.
func (i Issuer) filled(preset Preset) Issuer {
	if i.BoundIssuer == "" && i.DiscoveryURL == "" {
		i.BoundIssuer = preset.Issuer
	}
	if i.Preset != "" && len(i.sources()) == 0 {
		i.DiscoveryURL = i.BoundIssuer
	}
	return i
}

// sources are the key source fields that are written.
func (i Issuer) sources() []string {
	var fields []string
	if i.DiscoveryURL != "" {
		fields = append(fields, "discovery_url")
	}
	if i.JWKSURL != "" {
		fields = append(fields, "jwks_url")
	}
	if len(i.PublicKeys) > 0 {
		fields = append(fields, "public_keys")
	}
	return fields
}

func (i Issuer) checkSource(preset Preset) error {
	switch sources := i.sources(); {
	case len(sources) == 1:
		return nil
	case len(sources) > 1:
		return fault.InvalidField(sources[1], "stands beside %s; write one key source only", sources[0])
	case preset.Hint != "":
		return fault.InvalidField("discovery_url", "preset %s has no issuer of its own; write %s", preset.Name, preset.Hint)
	default:
		return fault.InvalidField("discovery_url", "there is no key source; write one of preset, discovery_url, jwks_url and public_keys")
	}
}

func (i Issuer) checkAudiences() error {
	if len(i.Audiences) == 0 {
		return fault.InvalidField("audiences", "must not be empty; write what the jobs ask their id_token for, such as the address of this Vault")
	}
	if slices.Contains(i.Audiences, "") {
		return fault.InvalidField("audiences", "an audience must not be empty")
	}
	return nil
}

// address checks a key source's address, where there is one.
func address(field, raw string) (string, error) {
	if raw == "" {
		return "", nil
	}
	return transport.ParseBaseURL(field, raw)
}

// Binds reports whether the bound claims, the role's and its environment's, are
// enough for this issuer. Where anybody can get a token of it, for any audience,
// one of them has to say whose job may come; why says which claims would do. The
// issuer is a completed one.
func (i Issuer) Binds(bounds ...Bound) (ok bool, why string) {
	preset, public := i.public()
	if !public || slices.ContainsFunc(bounds, func(b Bound) bool { return b.pinsOwner(preset.Identity) }) {
		return true, ""
	}
	return false, "issuer " + show(i.Name) + " (" + preset.Public[0] + ") vouches for anybody's jobs: bind one of " +
		strings.Join(preset.Identity, ", ") + " to one owner, without a wildcard before its first slash, such as " + preset.example()
}

// public finds the preset whose public issuer this is, whatever preset is written.
func (i Issuer) public() (Preset, bool) {
	presets := Presets()
	at := slices.IndexFunc(presets, func(p Preset) bool { return slices.ContainsFunc(p.Public, i.speaksFor) })
	if at < 0 {
		return Preset{}, false
	}
	return presets[at], true
}

// speaksFor reports whether tokens of the given issuer pass here. Without a bound
// issuer all do that are signed with keys of its host.
func (i Issuer) speaksFor(issuer string) bool {
	if i.BoundIssuer != "" {
		return i.BoundIssuer == issuer
	}
	ours, err := url.Parse(i.JWKSURL)
	if err != nil {
		return false
	}
	theirs, err := url.Parse(issuer)
	// A dot behind a host's name says only that the name is whole.
	return err == nil && strings.TrimSuffix(ours.Hostname(), ".") == theirs.Hostname()
}
