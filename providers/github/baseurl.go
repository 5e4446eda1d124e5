// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"net/url"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

const (
	publicAPI      = "https://api.github.com"
	publicHost     = "github.com"
	residency      = ".ghe.com"
	enterprisePath = "/api/v3"
)

// apiURL brings the ways in which people write a GitHub's address to that of its
// API, without a last slash:
//
//   - github.com and api.github.com: https://api.github.com
//   - SUB.ghe.com and api.SUB.ghe.com: https://api.SUB.ghe.com
//   - a GitHub Enterprise Server, with or without /api/v3: https://HOST/api/v3
//   - this machine: as it is written, for a GitHub that is simulated
func apiURL(raw string) (string, error) {
	const field = "base_url"
	if strings.TrimSpace(raw) == "" {
		return publicAPI, nil
	}
	base, err := transport.ParseBaseURL(field, raw)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(base)
	if err != nil {
		return "", fault.InvalidField(field, "is not a URL")
	}
	cloud := u.Host == publicHost || u.Host == "www."+publicHost || u.Host == "api."+publicHost || strings.HasSuffix(u.Host, residency)
	switch {
	case transport.IsLoopback(u.Hostname()):
		return base, nil
	case cloud && u.Path != "" && u.Path != enterprisePath:
		return "", fault.InvalidField(field, "%s has no API below %s; write %s", u.Host, u.Path, cloudAPI(u.Host))
	case cloud:
		return cloudAPI(u.Host), nil
	case u.Path == "" || u.Path == "/api" || u.Path == enterprisePath:
		return "https://" + u.Host + enterprisePath, nil
	default:
		return "", fault.InvalidField(field, "the API of a GitHub Enterprise Server is at https://%s%s, not below %s", u.Host, enterprisePath, u.Path)
	}
}

// cloudAPI is the API's address of a host that GitHub itself runs.
func cloudAPI(host string) string {
	if !strings.HasSuffix(host, residency) {
		return publicAPI
	}
	return "https://api." + strings.TrimPrefix(host, "api.")
}
