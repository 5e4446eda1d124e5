// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package approval_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/approval"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// desk is a service with people around it and a clock that only the test moves.
type desk struct {
	*approval.Service
	t       *testing.T
	now     time.Time
	storage *counted
}

// counted is storage that counts what is read of it.
type counted struct {
	logical.InmemStorage
	reads atomic.Int64
}

func (s *counted) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	s.reads.Add(1)
	return s.InmemStorage.Get(ctx, key)
}

func (s *counted) List(ctx context.Context, prefix string) ([]string, error) {
	s.reads.Add(1)
	return s.InmemStorage.List(ctx, prefix)
}

// basis is the fingerprint that the role has all along.
const basis = "as it was"

var (
	alice = policy.Caller{EntityID: "e-alice", DisplayName: "people-alice", Mount: "ci/"}
	ci    = policy.Caller{EntityID: "e-ci", DisplayName: "jwt-acme/web", Mount: "ci/"}
)

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, now: time.Date(2030, 5, 6, 7, 0, 0, 0, time.UTC), storage: &counted{}}
	d.start()
	return d
}

// start makes the service over what is in storage.
func (d *desk) start() {
	now := func() time.Time { return d.now }
	book := ledger.New(d.storage, "term", now, hclog.NewNullLogger())
	aliases := map[string][]string{"e-bob": {"bob", "bob@example.com"}, "e-carol": {"carol"}, "e-octocat": {"someone", "Octocat"}, "e-alice": {"alice"}}
	d.Service = approval.New(d.storage, book, func(entity string) ([]string, error) { return aliases[entity], nil }, now)
}

// job is the identity of a run that octocat started.
func job(t *testing.T, changes map[string]string) *identity.Identity {
	t.Helper()
	said := map[string]string{"repository": "acme/web", "run_id": "7", "sha": "c0ffee", "ref": "refs/heads/main", "actor": "octocat"}
	for claim, value := range changes {
		said[claim] = value
	}
	text, err := json.Marshal(said)
	require.NoError(t, err)
	claims, err := identity.ParseClaims(text)
	require.NoError(t, err)
	return &identity.Identity{Claims: claims, Preset: identity.GitHubActions, Issuer: "https://ci.example.com"}
}

func (d *desk) ask(who policy.Caller, required int, proven *identity.Identity) *approval.Approval {
	d.t.Helper()
	a, err := d.Ask(d.t.Context(), approval.Request{
		Role: "deploy", Reason: "release 1.2", Caller: who, Identity: proven, Required: required, Basis: basis,
	})
	require.NoError(d.t, err)
	return a
}

func (d *desk) decide(a *approval.Approval, entity string, approve bool) (approval.Status, error) {
	d.t.Helper()
	after, err := d.Decide(d.t.Context(), a.Role, a.ID, basis, approval.Decision{EntityID: entity, DisplayName: entity, Approve: approve})
	if err != nil {
		return "", err
	}
	return after.StatusAt(d.now, basis), nil
}

func (d *desk) approve(a *approval.Approval, entity string) approval.Status {
	d.t.Helper()
	status, err := d.decide(a, entity, true)
	require.NoError(d.t, err)
	return status
}

func (d *desk) status(a *approval.Approval) approval.Status {
	d.t.Helper()
	stored, err := d.Get(d.t.Context(), a.Role, a.ID)
	require.NoError(d.t, err)
	return stored.StatusAt(d.now, basis)
}

func requireFault(t *testing.T, err error, kind fault.Kind, words string) {
	t.Helper()
	require.ErrorContains(t, err, words)
	require.Equal(t, kind.String(), fault.KindOf(err).String())
}
