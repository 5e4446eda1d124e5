// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
)

// demo is one run.
type demo struct {
	platform platform
	out      io.Writer
	started  time.Time
	step     int
	vault    *world.Vault
}

// credential is what a read of creds answers.
type credential struct {
	LeaseID       string `json:"lease_id"`
	LeaseDuration int    `json:"lease_duration"`
	Data          struct {
		Token        string   `json:"token"`
		Username     string   `json:"username"`
		TokenID      string   `json:"token_id"`
		Owner        string   `json:"owner"`
		Repositories []string `json:"repositories"`
		Permissions  []string `json:"permissions"`
		ExpiresAt    string   `json:"expires_at"`
	} `json:"data"`
}

func (d *demo) run(ctx context.Context) error {
	for _, act := range []func(context.Context) error{d.raise, d.govern, d.job, d.trail} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "\nDone in %s. All that was started is being stopped.\n", time.Since(d.started).Round(100*time.Millisecond))
	return nil
}

// raise starts the platform and Vault and mounts the engine.
func (d *demo) raise(ctx context.Context) (err error) {
	d.tell("Start %s and a real Vault (raft storage, file audit device)", d.platform.title())
	if err := d.platform.start(ctx); err != nil {
		return fmt.Errorf("start %s: %w", d.platform.title(), err)
	}
	if d.vault, err = world.StartVault(ctx, world.Options{}); err != nil {
		return err
	}
	root, err := world.Root()
	if err != nil {
		return err
	}
	plugin, err := d.vault.Register(ctx, world.Plugin{Binary: filepath.Join(root, "bin", "vault-plugin-secrets-ci")})
	if err != nil {
		return fmt.Errorf("%w (make build makes the plugin)", err)
	}
	d.note("registered vault-plugin-secrets-ci %s with its SHA-256", plugin.Version)
	return d.vault.Mount(ctx, "ci/", plugin, api.MountConfigInput{AuditNonHMACResponseKeys: world.AuditKeys()})
}

// govern is the operators' part: a connection, an environment, a role.
func (d *demo) govern(ctx context.Context) error {
	d.tell("Security connects the platform once; a platform team defines who may get what")
	for _, command := range [][]string{
		d.platform.config(),
		{"write", "ci/environments/dev", "description=where it may break", "max_ttl=1h"},
		d.platform.role(),
	} {
		if _, err := d.cli(ctx, command...); err != nil {
			return err
		}
	}
	return nil
}

// creds is the path of the role's credentials.
func (d *demo) creds() string {
	return strings.Replace(d.platform.role()[1], "ci/roles/", "ci/creds/", 1)
}

// job is the pipeline step's part.
func (d *demo) job(ctx context.Context) error {
	d.tell("A pipeline step reads a credential: the token is made this moment")
	out, err := d.cli(ctx, "read", "-format=json", d.creds())
	if err != nil {
		return err
	}
	var c credential
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		return fmt.Errorf("read a credential: %w", err)
	}
	d.note("token %s…  id %s", c.Data.Token[:8], c.Data.TokenID)
	d.note("owner %s, repositories %v, permissions %v", c.Data.Owner, c.Data.Repositories, c.Data.Permissions)
	d.note("lease of %d s, renewable; it ends for good at %s", c.LeaseDuration, c.Data.ExpiresAt)

	d.tell("The step uses it")
	if err := d.platform.use(ctx, d, c.Data.Username, c.Data.Token); err != nil {
		return err
	}
	d.tell("The job is over: its lease is revoked, and with it the token at the platform")
	if _, err := d.cli(ctx, "lease", "revoke", "-sync", c.LeaseID); err != nil {
		return err
	}
	return d.platform.dead(ctx, d, c.Data.Token)
}

// trail shows what an auditor finds.
func (d *demo) trail(ctx context.Context) error {
	d.tell("What is on record")
	audit, err := d.vault.Audit()
	if err != nil {
		return err
	}
	for _, entry := range audit.Path(d.creds()).Responses() {
		facts := entry.Response.Data
		d.note("audit device: %v read %s: owner %v, token_sha256 %v, token %.24v…", entry.Auth.DisplayName, entry.Request.Path, facts["owner"], facts["token_sha256"], facts["token"])
	}
	out, err := d.cli(ctx, "read", "-format=json", "ci/events")
	if err != nil {
		return err
	}
	var events struct {
		Data struct{ Events []string }
	}
	if err := json.Unmarshal([]byte(out), &events); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	for _, line := range events.Data.Events {
		var e struct{ Time, Type, Role, Owner, RevokedBy string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		d.note("ledger: %s  %-8s role %s of %s", e.Time[:19], e.Type, e.Role, e.Owner)
	}
	return nil
}

// cli shows a vault command, runs it, and gives its output.
func (d *demo) cli(ctx context.Context, args ...string) (string, error) {
	fmt.Fprintf(d.out, "    $ vault %s\n", strings.Join(shown(args), " "))
	out, err := d.vault.CLI(ctx, world.Command{Args: args})
	if err != nil {
		return "", err
	}
	if out.Code != 0 {
		return "", fmt.Errorf("vault %s: %s", args[0], strings.TrimSpace(out.Stderr))
	}
	return out.Stdout, nil
}

// shown quotes what a shell would need quoted.
func shown(args []string) []string {
	list := make([]string, len(args))
	for i, a := range args {
		if name, value, ok := strings.Cut(a, "="); ok && strings.ContainsAny(value, " *") {
			a = name + `="` + value + `"`
		}
		list[i] = strings.Replace(a, os.TempDir(), "$TMPDIR", 1)
	}
	return list
}

func (d *demo) tell(format string, args ...any) {
	d.step++
	fmt.Fprintf(d.out, "\n%d. %s\n", d.step, fmt.Sprintf(format, args...))
}

func (d *demo) note(format string, args ...any) {
	fmt.Fprintf(d.out, "    %s\n", fmt.Sprintf(format, args...))
}

func (d *demo) close() error {
	var vault error
	if d.vault != nil {
		vault = d.vault.Close()
	}
	return errors.Join(vault, d.platform.close())
}
