// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package credential gets a credential from the engine, keeps it, says that it was
// used and ends it.
package credential

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/brief"
	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/keep"
)

// Ask says which credential is wanted.
type Ask struct {
	// Mount of the engine.
	Mount string
	Role  string
	// Repository to narrow the credential to; empty for those of the role.
	Repository string
	// TTL of the lease; the role's own where that is shorter.
	TTL time.Duration
	// IDToken is the job's own token; empty where there is none.
	IDToken string
	// Approval to use; empty where none is needed.
	Approval string
}

// Credential is what the engine hands out, as much of it as is of use here.
type Credential struct {
	Token        string   `json:"token"`
	Username     string   `json:"username"`
	TokenID      string   `json:"token_id"`
	TokenSHA256  string   `json:"token_sha256"`
	ExpiresAt    string   `json:"expires_at"`
	Provider     string   `json:"provider"`
	BaseURL      string   `json:"base_url"`
	Organization string   `json:"organization"`
	Config       string   `json:"config"`
	Role         string   `json:"role"`
	Stage        string   `json:"stage"`
	Environment  string   `json:"environment"`
	Owner        string   `json:"owner"`
	Purpose      string   `json:"purpose"`
	Repositories []string `json:"repositories"`
	Permissions  []string `json:"permissions"`

	mount   string
	leaseID string
	ttl     time.Duration
	life    time.Duration
}

// Get makes a credential.
func Get(ctx context.Context, client *api.Client, ask Ask) (*Credential, error) {
	path := ask.Mount + "/creds/" + ask.Role
	if ask.Repository != "" {
		path += "/" + ask.Repository
	}
	body := map[string]any{}
	if ask.TTL > 0 {
		body["ttl"] = int(ask.TTL.Seconds())
	}
	if ask.IDToken != "" {
		body["id_token"] = ask.IDToken
	}
	if ask.Approval != "" {
		body["approval_id"] = ask.Approval
	}
	secret, err := client.Logical().WriteWithContext(ctx, path, body)
	if err != nil {
		return nil, fmt.Errorf("credential: %w", brief.Error(err))
	}
	if secret == nil {
		return nil, fmt.Errorf("credential: %s answers with nothing", path)
	}
	encoded, err := json.Marshal(secret.Data)
	if err != nil {
		return nil, fmt.Errorf("credential: %w", err)
	}
	c := &Credential{mount: ask.Mount, leaseID: secret.LeaseID, ttl: ask.TTL}
	if err := json.Unmarshal(encoded, c); err != nil || c.Token == "" {
		return nil, fmt.Errorf("credential: %s answers without a token: is %s a mount of this engine?", path, ask.Mount)
	}
	c.life = time.Duration(secret.LeaseDuration) * time.Second
	return c, nil
}

// Keep renews the lease until the context ends; it returns early, with the reason,
// when the lease is lost.
func (c *Credential) Keep(ctx context.Context, client *api.Client) error {
	return keep.Alive(ctx, c.life, func(ctx context.Context) (time.Duration, error) {
		renewed, err := client.Sys().RenewWithContext(ctx, c.leaseID, int(c.ttl.Seconds()))
		if err != nil {
			return 0, brief.Error(err)
		}
		return time.Duration(renewed.LeaseDuration) * time.Second, nil
	})
}

// Used tells the ledger what the credential is used for.
func (c *Credential) Used(ctx context.Context, client *api.Client, action, target string) error {
	_, err := client.Logical().WriteWithContext(ctx, c.mount+"/tokens/"+c.TokenID+"/use", map[string]any{
		"action": action, "target": target,
	})
	if err != nil {
		return fmt.Errorf("record the use: %w", brief.Error(err))
	}
	return nil
}

// Revoke ends the credential, by its lease where the caller may revoke leases, else
// by its id.
func (c *Credential) Revoke(ctx context.Context, client *api.Client) error {
	// With the lease in the path a policy can be about the leases of one role, and the
	// audit file shows which one it was.
	_, byLease := client.Logical().WriteWithContext(ctx, "sys/leases/revoke/"+c.leaseID, nil)
	if byLease == nil {
		return nil
	}
	_, byID := client.Logical().WriteWithContext(ctx, c.mount+"/tokens/"+c.TokenID+"/revoke", nil)
	if byID == nil {
		return nil
	}
	return fmt.Errorf("revoke: neither by its lease (%w) nor by its id (%w)", brief.Error(byLease), brief.Error(byID))
}

// Secrets are the forms in which the token may turn up in a log: itself, and what
// HTTP Basic makes of it.
func (c *Credential) Secrets() []string {
	return []string{c.Token, base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Token))}
}

// Field is one fact of the credential by the name that it has in the engine's
// answer. Lists are joined by commas.
func (c *Credential) Field(name string) (string, error) {
	encoded, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	var fields map[string]any
	if err := json.Unmarshal(encoded, &fields); err != nil {
		return "", err
	}
	switch value := fields[name].(type) {
	case string:
		return value, nil
	case []any:
		texts := make([]string, len(value))
		for i, entry := range value {
			texts[i] = fmt.Sprint(entry)
		}
		return strings.Join(texts, ","), nil
	}
	names := make([]string, 0, len(fields))
	for known := range fields {
		names = append(names, known)
	}
	slices.Sort(names)
	return "", fmt.Errorf("credential: no field %q: have %s", name, strings.Join(names, ", "))
}

// GitURL is where git finds the platform: the host of its web site, without a path.
func (c *Credential) GitURL() (string, error) {
	u, err := url.Parse(c.BaseURL)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("credential: base_url %q is no URL", c.BaseURL)
	}
	host := u.Host
	if c.Provider == "github" && (host == "api.github.com" || strings.HasSuffix(host, ".ghe.com")) {
		host = strings.TrimPrefix(host, "api.")
	}
	return u.Scheme + "://" + host, nil
}
