// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
)

// telemetry lets sys/metrics count from the start on.
const telemetry = `telemetry {
  prometheus_retention_time = "24h"
  disable_hostname          = true
}`

// floorRead is the floor: a leased one-time password.
func floorRead(int) ask {
	return ask{path: "ssh/creds/otp", body: []byte(`{"ip":"10.1.2.3"}`)}
}

// stand is a fresh Vault with the engine and the floor mounted.
type stand struct {
	*caller
	vault *world.Vault
	sims  simulators
}

// newStand starts one; close ends all of it.
func (b *bench) newStand(ctx context.Context) (*stand, error) {
	vault, err := world.StartVault(ctx, world.Options{ExtraConfig: telemetry, LogLevel: "warn"})
	if err != nil {
		return nil, err
	}
	s := &stand{
		caller: newCaller(vault.Nodes[0].Address, vault.RootToken()), vault: vault,
		sims: simulators{program: b.simulator, dir: b.newDir()},
	}
	if err := s.mount(ctx, b.plugin); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stand) close() error {
	s.http.CloseIdleConnections()
	return errors.Join(s.vault.Close(), s.sims.stop())
}

func (s *stand) mount(ctx context.Context, plugin world.Plugin) error {
	registered, err := s.vault.Register(ctx, plugin)
	if err != nil {
		return err
	}
	config := api.MountConfigInput{AuditNonHMACResponseKeys: world.AuditKeys()}
	if err := s.vault.Mount(ctx, "ci/", registered, config); err != nil {
		return err
	}
	if err := s.write(ctx, "ci/environments/bench", map[string]any{"description": "for measuring"}); err != nil {
		return err
	}
	if err := s.vault.MountBuiltin(ctx, "ssh/", "ssh"); err != nil {
		return err
	}
	return s.write(ctx, "ssh/roles/otp", map[string]any{"key_type": "otp", "default_user": "ci", "cidr_list": "10.0.0.0/8"})
}

func (s *stand) write(ctx context.Context, path string, body map[string]any) error {
	answer, err := s.vault.Root().Write(ctx, path, body)
	if err == nil {
		err = answer.Failure()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// platform is a simulator with configs that lead to it.
type platform struct {
	*simulator
	name    string
	configs int
}

// newPlatform starts a simulator and writes so many configs for it, each with a
// role for every number of repositories. One read of each role opens connections.
func (s *stand) newPlatform(ctx context.Context, name string, latency time.Duration, configs int, repositories ...int) (*platform, error) {
	sim, err := s.sims.start(name, latency)
	if err != nil {
		return nil, err
	}
	p := &platform{simulator: sim, name: name, configs: configs}
	for i := range configs {
		err := s.write(ctx, "ci/config/"+p.config(i), map[string]any{
			"provider": "github", "base_url": sim.URL, "ca_cert": sim.ca, "app_id": fmt.Sprint(sim.AppID),
			"private_key": sim.key, "organization": sim.Organization,
		})
		if err != nil {
			return nil, err
		}
		for _, number := range repositories {
			if err := s.newRole(ctx, p, i, number); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (s *stand) newRole(ctx context.Context, p *platform, config, repositories int) error {
	err := s.write(ctx, "ci/roles/"+p.role(config, repositories), map[string]any{
		"config": p.config(config), "stage": "build", "environment": "bench",
		"owner": "team-platform", "purpose": "measure what a credential costs",
		"repositories": p.Repositories[:repositories], "permissions": []string{"contents=read"},
		"ttl": 3600, "max_ttl": 3600,
	})
	if err != nil {
		return err
	}
	return s.do(ctx, ask{path: "ci/creds/" + p.role(config, repositories)})
}

func (p *platform) config(i int) string { return fmt.Sprintf("%s-%d", p.name, i) }

func (p *platform) role(config, repositories int) string {
	return fmt.Sprintf("%s-%d-of-%d", p.name, config, repositories)
}

// reads goes through the roles of the first configs, one after the other.
func (p *platform) reads(configs, repositories int) func(int) ask {
	asks := make([]ask, configs)
	for i := range asks {
		asks[i] = ask{path: "ci/creds/" + p.role(i, repositories)}
	}
	return func(n int) ask { return asks[n%configs] }
}
