// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/helper/testhelpers/schema"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// clock is the time that a test owns.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2030, 5, 6, 7, 8, 9, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// mount is an engine as Vault holds it: over storage that can be made to fail, with
// a clock of the test's and a GitHub behind it. Its background work does not run by
// itself; tests call the parts that they are about.
type mount struct {
	*Backend
	t       testing.TB
	clock   *clock
	storage *storage
	log     *lockedBuffer
	github  *githubtest.Simulator
	app     githubtest.App
	inst    githubtest.Installation
	// mostTTL is the mount's max_lease_ttl.
	mostTTL time.Duration
	// caller is the entity that asks.
	caller string
	// entity is what Vault says of each entity.
	entity *logical.Entity
}

// appPermissions are what the simulated App may have at the most.
func appPermissions() map[string]string {
	return map[string]string{
		"contents": "write", "packages": "write", "actions": "read", "metadata": "read",
		"checks": "write", "statuses": "write", "deployments": "write", "pull_requests": "write",
	}
}

// newMount makes an engine with the config github, the environment dev and the role
// build-dev on acme/web.
func newMount(t testing.TB) *mount {
	t.Helper()
	m := &mount{t: t, clock: newClock(), storage: newStorage(), log: &lockedBuffer{}, mostTTL: 24 * time.Hour, entity: &logical.Entity{}}
	m.github = githubtest.Start(t, githubtest.Options{Now: m.clock.now})
	m.app, m.inst = m.github.Install("acme", appPermissions(), "web", "api", "svc-a", "svc-b", ".github")
	m.start()
	m.must("config/github", m.config(nil))
	m.must("environments/dev", map[string]any{"description": "where it may break"})
	m.role("build-dev", nil)
	return m
}

// start makes the engine over what is in storage and takes over: the mount's first
// start, or one after a crash.
func (m *mount) start() {
	m.t.Helper()
	m.open()
	require.True(m.t, m.worker.takeOver(m.t.Context()))
}

// open makes the engine over what is in storage.
func (m *mount) open() {
	m.t.Helper()
	engine, err := New(m.t.Context(), &logical.BackendConfig{
		StorageView: m.storage,
		Logger:      hclog.New(&hclog.LoggerOptions{Output: m.log, Level: hclog.Trace}),
		System:      &logical.StaticSystemView{DefaultLeaseTTLVal: time.Hour, MaxLeaseTTLVal: m.mostTTL, EntityVal: m.entity},
		BackendUUID: "5e1f-mount",
	}, m.clock.now)
	require.NoError(m.t, err)
	m.Backend = engine
	m.t.Cleanup(func() { engine.Cleanup(context.WithoutCancel(m.t.Context())) })
}

// config is the config of the simulated App, with changes; nil drops a field.
func (m *mount) config(changes map[string]any) map[string]any {
	return changed(map[string]any{
		"provider": "github", "base_url": m.github.URL(), "app_id": fmt.Sprint(m.app.ID),
		"private_key": m.app.PrivateKeyPEM(), "organization": "acme",
	}, changes)
}

// role writes a role that reads the contents of acme/web, with changes.
func (m *mount) role(name string, changes map[string]any) {
	m.t.Helper()
	m.must("roles/"+name, roleData(changes))
}

func roleData(changes map[string]any) map[string]any {
	return changed(map[string]any{
		"config": "github", "stage": "build", "environment": "dev", "owner": "team-web", "purpose": "build the site",
		"repositories": []string{"web"}, "permissions": []string{"contents=read"},
	}, changes)
}

func changed(data, changes map[string]any) map[string]any {
	for field, value := range changes {
		if value == nil {
			delete(data, field)
			continue
		}
		data[field] = value
	}
	return data
}

// answer is what a caller of the API sees.
type answer struct {
	status   int
	data     map[string]any
	warnings []string
	err      string
	secret   *logical.Secret
}

// do makes a request as Vault does. The body goes through JSON, and each good answer
// is held against the schema that the path declares for it.
func (m *mount) do(op logical.Operation, path string, body map[string]any) answer {
	m.t.Helper()
	return m.ask(m.t.Context(), &logical.Request{Operation: op, Path: path, Data: body})
}

func (m *mount) ask(ctx context.Context, req *logical.Request) answer {
	m.t.Helper()
	req.Data, req.Storage, req.MountPoint = throughJSON(m.t, req.Data), m.storage, "ci/"
	if m.caller != "" {
		req.EntityID, req.DisplayName = m.caller, m.caller
	}
	if req.ID == "" {
		id, err := uuid.GenerateUUID()
		require.NoError(m.t, err)
		req.ID = id
	}
	route := m.Route(req.Path)
	if req.Operation == logical.UpdateOperation {
		_, exists, err := m.HandleExistenceCheck(ctx, req)
		if err == nil && !exists && route != nil && route.ExistenceCheck != nil {
			req.Operation = logical.CreateOperation
		}
	}
	resp, err := m.HandleRequest(ctx, req)
	status, shown := logical.RespondErrorCommon(req, resp, err)
	got := answer{status: status}
	if coded, ok := errors.AsType[logical.HTTPCodedError](err); ok {
		got.status = coded.Code()
	}
	if shown != nil || err != nil {
		got.err = fmt.Sprint(shown)
		return got
	}
	if resp != nil {
		got.data, got.warnings, got.secret = throughJSON(m.t, resp.Data), resp.Warnings, resp.Secret
	}
	if got.status == 0 {
		got.status = http.StatusOK
		if resp == nil {
			got.status = http.StatusNoContent
		}
		if tt, ok := m.t.(*testing.T); ok && route != nil {
			schema.ValidateResponse(tt, schema.GetResponseSchema(tt, route, req.Operation), resp, true)
		}
	}
	return got
}

func throughJSON(t testing.TB, data map[string]any) map[string]any {
	t.Helper()
	if data == nil {
		return nil
	}
	data = maps.Clone(data)
	delete(data, logical.HTTPRawBody) // bytes, which Vault does not pass through JSON either
	encoded, err := json.Marshal(data)
	require.NoError(t, err)
	var decoded map[string]any
	require.NoError(t, json.Unmarshal(encoded, &decoded))
	return decoded
}

func (m *mount) write(path string, body map[string]any) answer {
	m.t.Helper()
	return m.do(logical.UpdateOperation, path, body)
}

func (m *mount) read(path string) answer {
	m.t.Helper()
	return m.do(logical.ReadOperation, path, nil)
}

// must is a write that has to succeed: the setting up of a test.
func (m *mount) must(path string, body map[string]any) answer {
	m.t.Helper()
	got := m.write(path, body)
	require.Empty(m.t, got.err, "write %s", path)
	return got
}

// issue reads a credential that has to come.
func (m *mount) issue(path string) answer {
	m.t.Helper()
	got := m.read("creds/" + path)
	require.Equal(m.t, http.StatusOK, got.status, got.err)
	require.NotNil(m.t, got.secret)
	got.secret.IssueTime = m.clock.now() // as Vault's core does
	return got
}

// mintInFlight reads a credential of a role; its mint hangs at GitHub until finish.
func (m *mount) mintInFlight(role string) (finish func() answer) {
	m.t.Helper()
	release := make(chan struct{})
	m.github.Inject(githubtest.Fault{Match: "POST /app/installations/*/access_tokens", Times: 1, Hang: release})
	var minted answer
	var flight sync.WaitGroup
	flight.Go(func() { minted = m.read("creds/" + role) })
	require.Eventually(m.t, func() bool {
		return m.github.Counts()["POST /app/installations/{installation_id}/access_tokens"] == 1
	}, 10*time.Second, time.Millisecond)
	return func() answer {
		close(release)
		flight.Wait()
		return minted
	}
}

// renew renews a credential's lease as Vault does.
func (m *mount) renew(of answer, increment time.Duration) answer {
	m.t.Helper()
	lease := *of.secret
	lease.Increment = increment
	return m.ask(m.t.Context(), &logical.Request{Operation: logical.RenewOperation, Secret: &lease})
}

// revoke revokes a credential's lease as Vault does.
func (m *mount) revoke(of answer) answer {
	m.t.Helper()
	lease := *of.secret
	return m.ask(m.t.Context(), &logical.Request{Operation: logical.RevokeOperation, Secret: &lease})
}

// state is what has become of a credential's token at the platform.
func (m *mount) state(of answer) githubtest.State {
	return m.github.StateOf(of.data["token"].(string))
}

// record is the ledger's record of a credential.
func (m *mount) record(of answer) map[string]any {
	m.t.Helper()
	got := m.read("tokens/" + of.data["token_id"].(string))
	require.Equal(m.t, http.StatusOK, got.status, got.err)
	return got.data
}
