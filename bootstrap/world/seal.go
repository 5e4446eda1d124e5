// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import (
	"context"
	"fmt"
	"net/http"

	"github.com/hashicorp/vault/api"
)

// Health is the status of sys/health: 200 for the leader, 429 for a standby,
// 501 before it is initialised, 503 when sealed. An error means no answer.
func (n *Node) Health(ctx context.Context) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.Address+"/v1/sys/health", nil)
	if err != nil {
		return 0, err
	}
	answer, err := n.vault.http.Do(request)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// initialise makes one unseal key and the root token.
func (v *Vault) initialise(ctx context.Context, node *Node) error {
	client, err := node.Client()
	if err != nil {
		return err
	}
	made, err := client.Sys().InitWithContext(ctx, &api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		return fmt.Errorf("%s: initialise: %w", node.Name, err)
	}
	v.keys.Lock()
	v.unsealKey, v.rootToken = made.KeysB64[0], made.RootToken
	v.keys.Unlock()
	return nil
}

// Unseal unseals the node and returns when it serves, be it as the leader or as
// a standby. A node that has yet to join its cluster is waited for.
func (n *Node) Unseal(ctx context.Context) error {
	client, err := n.Client()
	if err != nil {
		return err
	}
	return poll(ctx, n.Name+" to be unsealed", func() (bool, error) {
		status, err := n.Health(ctx)
		if err == nil && (status == http.StatusOK || status == http.StatusTooManyRequests) {
			return true, nil
		}
		n.vault.keys.RLock()
		key := n.vault.unsealKey
		n.vault.keys.RUnlock()
		// Refused while it joins or starts to serve: health decides.
		_, _ = client.Sys().UnsealWithContext(ctx, key)
		return false, nil
	})
}

// Seal seals the node. Only a leader lets itself be sealed.
func (n *Node) Seal(ctx context.Context) error {
	client, err := n.Client()
	if err != nil {
		return err
	}
	if err := client.Sys().SealWithContext(ctx); err != nil {
		return fmt.Errorf("%s: seal: %w", n.Name, err)
	}
	return poll(ctx, n.Name+" to be sealed", func() (bool, error) {
		status, err := n.Health(ctx)
		return err == nil && status == http.StatusServiceUnavailable, nil
	})
}

// Unseal unseals every node that runs and returns when one of them leads.
func (v *Vault) Unseal(ctx context.Context) error {
	for _, node := range v.Nodes {
		if !node.Running() {
			continue
		}
		if err := node.Unseal(ctx); err != nil {
			return err
		}
	}
	_, err := v.WaitLeader(ctx, nil)
	return err
}

// enableAudit enables the file audit device with Vault's defaults: values are
// hashed, except those that a mount exempts.
func (v *Vault) enableAudit(ctx context.Context) error {
	client, err := v.client()
	if err != nil {
		return err
	}
	err = client.Sys().EnableAuditWithOptionsWithContext(ctx, "file", &api.EnableAuditOptions{
		Type:    "file",
		Options: map[string]string{"file_path": v.AuditPath, "log_raw": "false"},
	})
	if err != nil {
		return fmt.Errorf("enable audit: %w", err)
	}
	return nil
}

// client is the API client of a node that runs.
func (v *Vault) client() (*api.Client, error) { return v.running().Client() }
