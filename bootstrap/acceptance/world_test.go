// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package acceptance shows on a real Vault (raft storage, a file audit device, the
// plugin as a process) what the engine promises. GitHub is its strict simulator.
package acceptance

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world/worldtest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// permissions are what the simulated App may have at the most.
func permissions() map[string]string {
	return map[string]string{
		"contents": "write", "packages": "write", "actions": "read", "metadata": "read",
		"checks": "write", "statuses": "write", "deployments": "write", "pull_requests": "write", "administration": "write",
	}
}

// stand is a Vault with the engine mounted at ci/ and a GitHub behind it.
type stand struct {
	*worldtest.Vault
	t      *testing.T
	github *githubtest.Simulator
	app    githubtest.App
	inst   githubtest.Installation
	root   *worldtest.Caller
}

// newStand starts a stand with an environment dev and a role build-dev on acme/web.
func newStand(t *testing.T, options world.Options, sim githubtest.Options) *stand {
	t.Helper()
	sim.Validate = true
	s := &stand{t: t, github: githubtest.Start(t, sim)}
	s.app, s.inst = s.github.Install("acme", permissions(), "web", "api", "svc-a", "svc-b", ".github")
	s.Vault = worldtest.StartVault(t, options)
	s.Mount("ci/", s.Register(worldtest.BuildPlugin(t)), api.MountConfigInput{
		AuditNonHMACResponseKeys: world.AuditKeys(),
	})
	s.root = s.Root()
	s.root.Must("ci/config/github", map[string]any{
		"provider": "github", "base_url": s.github.URL(), "app_id": fmt.Sprint(s.app.ID),
		"private_key": s.app.PrivateKeyPEM(), "organization": "acme",
	})
	s.root.Must("ci/environments/dev", map[string]any{"description": "where it may break"})
	s.role("build-dev", nil)
	return s
}

// role writes a role that reads the contents of acme/web, with changes.
func (s *stand) role(name string, changes map[string]any) {
	s.t.Helper()
	role := map[string]any{
		"config": "github", "stage": "build", "environment": "dev", "owner": "team-web", "purpose": "build the site",
		"repositories": []string{"web"}, "permissions": []string{"contents=read"}, "ttl": 120,
	}
	for field, value := range changes {
		role[field] = value
	}
	s.root.Must("ci/roles/"+name, role)
}

// eventually polls until the condition holds.
func eventually(t *testing.T, within time.Duration, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, within, 50*time.Millisecond, what)
}
