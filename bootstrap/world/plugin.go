// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/hashicorp/vault/api"
)

// EnginePackage is the Go package of the engine's program, from Root.
const EnginePackage = "./cmd/vault-plugin-secrets-ci"

// Plugin is a secrets engine in a program of its own.
type Plugin struct {
	// Name it is registered under; empty means the base name of Binary.
	Name string
	// Binary is the path of the program.
	Binary string
	// Version, vX.Y.Z, which must be the one that the program reports; empty
	// means whatever it reports.
	Version string
	// Args and Env (KEY=value) are given to the program at each start.
	Args, Env []string
}

// BuildPlugin builds a Go package of this repository into the file at out.
// Flags are those of `go build`. The file is replaced in one step, so that one
// who copies or runs it never sees a half.
func BuildPlugin(ctx context.Context, goPackage, out string, flags ...string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fmt.Errorf("build plugin: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(out), ".plugin-")
	if err != nil {
		return fmt.Errorf("build plugin: %w", err)
	}
	built := filepath.Join(work, filepath.Base(out))
	arguments := append(append([]string{"build", "-o", built}, flags...), goPackage)
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = root
	output, err := command.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build plugin %s: %w\n%s", goPackage, err, output)
	} else {
		err = os.Rename(built, out)
	}
	return errors.Join(err, os.RemoveAll(work))
}

// Register copies the program into the plugin directory, registers it, and
// returns the plugin with its name and version filled in. Several versions of
// one name may be there at once.
func (v *Vault) Register(ctx context.Context, plugin Plugin) (Plugin, error) {
	if plugin.Name == "" {
		plugin.Name = filepath.Base(plugin.Binary)
	}
	program, err := os.ReadFile(plugin.Binary)
	if err != nil {
		return plugin, fmt.Errorf("register %s: %w", plugin.Name, err)
	}
	sum := sha256.Sum256(program)
	digest := hex.EncodeToString(sum[:])
	file := plugin.Name + "-" + digest[:12]
	if err := install(filepath.Join(v.PluginDir, file), program); err != nil {
		return plugin, fmt.Errorf("register %s: %w", plugin.Name, err)
	}
	client, err := v.client()
	if err != nil {
		return plugin, err
	}
	err = client.Sys().RegisterPluginWithContext(ctx, &api.RegisterPluginInput{
		Name: plugin.Name, Type: api.PluginTypeSecrets, Command: file, SHA256: digest,
		Version: plugin.Version, Args: plugin.Args, Env: plugin.Env,
	})
	if err != nil {
		return plugin, fmt.Errorf("register %s: %w", plugin.Name, err)
	}
	if plugin.Version == "" {
		plugin.Version, err = registeredVersion(ctx, client, plugin.Name, digest)
	}
	return plugin, err
}

// install writes the program under its content's name. One that is there is
// the same, and may run: it is left alone.
func install(path string, program []byte) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return os.WriteFile(path, program, 0o700)
}

// registeredVersion is the version that Vault took from the program itself;
// empty when it reports none.
func registeredVersion(ctx context.Context, client *api.Client, name, digest string) (string, error) {
	listed, err := client.Sys().ListPluginsWithContext(ctx, &api.ListPluginsInput{Type: api.PluginTypeSecrets})
	if err != nil {
		return "", fmt.Errorf("register %s: %w", name, err)
	}
	for _, details := range listed.Details {
		if details.Name == name && details.SHA256 == digest {
			return details.Version, nil
		}
	}
	return "", fmt.Errorf("register %s: it is not in the catalog", name)
}

// Mount enables a registered plugin at the path, in the version that it has.
func (v *Vault) Mount(ctx context.Context, path string, plugin Plugin, config api.MountConfigInput) error {
	config.PluginVersion = plugin.Version
	return v.mount(ctx, path, plugin.Name, config)
}

// MountBuiltin enables one of Vault's own engines (kv, ssh, transit, pki).
func (v *Vault) MountBuiltin(ctx context.Context, path, engine string) error {
	return v.mount(ctx, path, engine, api.MountConfigInput{})
}

func (v *Vault) mount(ctx context.Context, path, engine string, config api.MountConfigInput) error {
	client, err := v.client()
	if err != nil {
		return err
	}
	err = client.Sys().MountWithContext(ctx, path, &api.MountInput{Type: engine, Config: config})
	if err != nil {
		return fmt.Errorf("mount %s at %s: %w", engine, path, err)
	}
	return nil
}

// AuditKeys are the response fields that the audit device shows in clear: facts
// that an auditor joins by, never a secret.
func AuditKeys() []string {
	return []string{
		"token_id", "token_sha256", "role", "stage", "environment", "owner", "purpose", "provider", "config", "organization",
		"repositories", "permissions", "expires_at", "events", "next", "status", "where", "target", "action",
		"approval_id", "approved_by", "decisions", "filter", "kill_id", "shut",
		"request_id", "entity_id", "display_name", "issued_at", "lease_until", "revoked_at", "revoked_by",
	}
}
