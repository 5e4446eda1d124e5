// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package backend composes the secrets engine: services over a mount's storage,
// the paths in front of them, and the background work behind them. The domain
// lives in the packages below it.
package backend

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/approval"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/catalog"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/connect"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/inventory"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/issue"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/issuers"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/metrics"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/revoke"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/roles"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/tokens"
	"github.com/ci-identity/vault-plugin-secrets-ci/paths"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Version is the plugin's, in the form that Vault's catalog wants. A release build
// sets it by -ldflags.
var Version = "v0.1.0"

const help = "Issues CI/CD tokens just in time: one for each read of creds/<role>, with an owner, a purpose, a scope and an end. When its lease ends the token is revoked at the platform."

// Factory makes the engine of one mount.
func Factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	return New(ctx, conf, time.Now)
}

// Backend is the engine of one mount.
type Backend struct {
	*framework.Backend
	engine *paths.Engine
	worker *worker
}

// New makes the engine of one mount with the given clock.
func New(ctx context.Context, conf *logical.BackendConfig, now func() time.Time) (*Backend, error) {
	if conf == nil {
		return nil, fmt.Errorf("backend: no configuration was passed")
	}
	b := &Backend{Backend: &framework.Backend{
		Help:           help,
		BackendType:    logical.TypeLogical,
		RunningVersion: Version,
		PathsSpecial:   &logical.Paths{SealWrapStorage: store.SealWrapped()},
	}}
	own := *conf
	if conf.System != nil {
		own.System = newSteadySystem(conf.System, now)
	}
	if err := b.Setup(ctx, &own); err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	engine, err := b.compose(&own, now)
	if err != nil {
		return nil, err
	}
	b.engine = engine
	b.worker = newWorker(engine, b.Logger(), b.WriteSafeReplicationState)
	b.Paths = paths.All(engine)
	b.Secrets = paths.Secrets(engine)
	b.InitializeFunc = func(context.Context, *logical.InitializationRequest) error { b.worker.start(); return nil }
	// Vault calls this every minute, also where Initialize never came.
	b.PeriodicFunc = func(context.Context, *logical.Request) error { b.worker.start(); return nil }
	b.Invalidate = b.forget
	b.Clean = func(context.Context) { b.worker.stop(); engine.Connections.Close() }
	return b, nil
}

// HandleRequest is Vault's way in.
func (b *Backend) HandleRequest(ctx context.Context, req *logical.Request) (*logical.Response, error) {
	switch req.Operation {
	case logical.CreateOperation, logical.UpdateOperation, logical.PatchOperation, logical.ReadOperation, logical.ListOperation:
		if path := b.Route(req.Path); path != nil && len(req.Data) > 0 {
			if resp := paths.CheckTypes(path, req); resp != nil {
				return resp, nil
			}
		}
	}
	return b.Backend.HandleRequest(ctx, req)
}

// HandleExistenceCheck tells a create from an update. That is a question of the path
// alone: it comes before any policy is asked, and Vault's log has all that fails in it,
// so what was written is left out.
func (b *Backend) HandleExistenceCheck(ctx context.Context, req *logical.Request) (checkFound, exists bool, err error) {
	bare := *req
	bare.Data = nil
	return b.Backend.HandleExistenceCheck(ctx, &bare)
}

// compose makes the services, each from those before it.
func (b *Backend) compose(conf *logical.BackendConfig, now func() time.Time) (*paths.Engine, error) {
	term, err := uuid.GenerateUUID()
	if err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	storage, logger := conf.StorageView, b.Logger().With("mount_uuid", conf.BackendUUID)
	m := metrics.New()
	e := &paths.Engine{Metrics: m, Version: Version}
	e.Ledger = ledger.New(storage, term, now, logger)
	e.Catalog = catalog.New(storage, platforms())
	e.Connections = connect.New(storage, platforms(), e.Ledger, rotated(e.Ledger, now), now, logger, m)
	e.Issuers = issuers.New(storage, now, logger)
	e.Roles = roles.New(storage, e.Catalog, e.Connections, e.Issuers, e.Ledger, conf.BackendUUID, logger)
	e.Approvals = approval.New(storage, e.Ledger, b.aliases, now)
	e.Revoke = revoke.New(storage, e.Ledger, e.Connections, now, logger, m)
	e.Issue = issue.New(storage, e.Connections, e.Roles, e.Issuers, e.Approvals, e.Ledger, e.Revoke,
		func() time.Duration { return b.System().MaxLeaseTTL() }, now, logger, m)
	e.Tokens = tokens.New(e.Ledger, e.Revoke, now)
	e.Inventory = inventory.New(e.Catalog, e.Connections, e.Ledger, e.Revoke, now)
	m.Watch(metrics.Figures{
		Live:        func() float64 { return float64(e.Ledger.LiveTotal()) },
		QueueLength: func() float64 { n, _ := e.Revoke.Queued(); return float64(n) },
		QueueAge:    func() float64 { _, age := e.Revoke.Queued(); return age.Seconds() },
	})
	return e, nil
}

// rotated tells the log of credentials of ours that were replaced.
func rotated(l *ledger.Ledger, now func() time.Time) func(string, *connect.Config, connect.Occasion) {
	return func(name string, c *connect.Config, why connect.Occasion) {
		l.Note(ledger.Event{Type: ledger.EventRootRotated, Time: now(), More: map[string]any{
			"config": name, "provider": c.Provider, "base_url": c.Endpoint, "occasion": string(why),
		}})
	}
}

// aliases are the alias names of an entity.
func (b *Backend) aliases(entityID string) ([]string, error) {
	entity, err := b.System().EntityInfo(entityID)
	if err != nil {
		return nil, err
	}
	if entity == nil {
		return nil, fault.New(fault.Denied, "there is no entity %s any more", entityID)
	}
	var names []string
	for _, alias := range entity.Aliases {
		names = append(names, alias.Name)
	}
	return names, nil
}

// forget drops what memory knows of a key that another node has changed.
func (b *Backend) forget(_ context.Context, key string) {
	b.engine.Catalog.Forget(key)
	b.engine.Connections.Forget(key)
	b.engine.Issuers.Forget(key)
}
