// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Catalog is the roles, stages and environments that are defined.
type Catalog struct {
	Roles        *Table[policy.Role]
	Environments *Table[policy.Environment]
	stages       *Table[policy.Stage]
	builtin      map[string]*policy.Stage
}

// New makes the catalog over a mount's storage.
func New(storage logical.Storage, platforms []providers.Platform) *Catalog {
	return &Catalog{
		Roles:        NewTable[policy.Role]("role", store.Roles, storage),
		Environments: NewTable[policy.Environment]("environment", store.Environments, storage),
		stages:       NewTable[policy.Stage]("stage", store.Stages, storage),
		builtin:      policy.BuiltinStages(platforms),
	}
}

// Forget drops what memory knows of a storage key that was changed elsewhere.
func (c *Catalog) Forget(key string) {
	c.Roles.Forget(key)
	c.Environments.Forget(key)
	c.stages.Forget(key)
}

// Role returns the role of that name, or fault.NotFound.
func (c *Catalog) Role(ctx context.Context, name string) (*policy.Role, error) {
	role, err := c.Roles.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if role == nil {
		return nil, fault.New(fault.NotFound, "there is no role %q", name)
	}
	named := *role
	named.Name = name
	return &named, nil
}

// Environment returns the environment of that name, or nil where there is none.
func (c *Catalog) Environment(ctx context.Context, name string) (*policy.Environment, error) {
	environment, err := c.Environments.Get(ctx, name)
	if err != nil || environment == nil {
		return nil, err
	}
	named := *environment
	named.Name = name
	return &named, nil
}

// Stage returns the stage of that name, an operator's before a built-in one, or
// nil where there is neither.
func (c *Catalog) Stage(ctx context.Context, name string) (*policy.Stage, error) {
	stage, err := c.stages.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	revision := ""
	if stage != nil {
		revision = stage.Revision
	}
	if stage == nil || stage.Restored {
		stage = c.builtin[name]
	}
	if stage == nil {
		return nil, nil
	}
	named := *stage
	named.Name, named.Revision = name, revision
	return &named, nil
}

// WriteStage defines a stage or overrides a built-in one.
func (c *Catalog) WriteStage(ctx context.Context, name string, stage *policy.Stage) error {
	old, err := c.stages.Get(ctx, name)
	if err != nil {
		return err
	}
	stage.Revision = rand.Text()
	return c.stages.Replace(ctx, name, old, stage)
}

// DeleteStage removes an operator's stage; a built-in one of that name comes back.
func (c *Catalog) DeleteStage(ctx context.Context, name string) error {
	if c.builtin[name] != nil {
		return c.restoreStage(ctx, name)
	}
	if err := c.unused(ctx, "stage", name, func(r *policy.Role) string { return r.Stage }); err != nil {
		return err
	}
	return c.stages.Delete(ctx, name)
}

// restoreStage lets a built-in stage hold again where an operator's is in its place.
func (c *Catalog) restoreStage(ctx context.Context, name string) error {
	override, err := c.stages.Get(ctx, name)
	if err != nil || override == nil || override.Restored {
		return err
	}
	return c.stages.Replace(ctx, name, override, &policy.Stage{Restored: true, Revision: rand.Text()})
}

// StageNames lists all stages, built in or not.
func (c *Catalog) StageNames(ctx context.Context) ([]string, error) {
	names, err := c.stages.List(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Compact(slices.Sorted(slices.Values(slices.AppendSeq(names, maps.Keys(c.builtin))))), nil
}

// DeleteEnvironment removes an environment that no role is in.
func (c *Catalog) DeleteEnvironment(ctx context.Context, name string) error {
	if err := c.unused(ctx, "environment", name, func(r *policy.Role) string { return r.Environment }); err != nil {
		return err
	}
	return c.Environments.Delete(ctx, name)
}

// ConfigUnused is a fault.Conflict where roles use the config.
func (c *Catalog) ConfigUnused(ctx context.Context, name string) error {
	return c.unused(ctx, "config", name, func(r *policy.Role) string { return r.Config })
}

// IssuerUnused is a fault.Conflict where roles rely on the issuer.
func (c *Catalog) IssuerUnused(ctx context.Context, name string) error {
	return c.unused(ctx, "issuer", name, func(r *policy.Role) string { return r.Issuer })
}

// RolesIn lists the names of the roles for which of gives that name.
func (c *Catalog) RolesIn(ctx context.Context, name string, of func(*policy.Role) string) ([]string, error) {
	var users []string
	err := c.Roles.Each(ctx, func(role string, r *policy.Role) bool {
		if of(r) == name {
			users = append(users, role)
		}
		return true
	})
	return users, err
}

func (c *Catalog) unused(ctx context.Context, kind, name string, of func(*policy.Role) string) error {
	users, err := c.RolesIn(ctx, name, of)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		shown := strings.Join(users[:min(len(users), 5)], ", ")
		return fault.New(fault.Conflict, "%s %q is used by %d role(s): %s; move or delete them first", kind, name, len(users), shown)
	}
	return nil
}
