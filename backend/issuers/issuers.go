// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package issuers keeps who may vouch for a job, and a verifier for each.
package issuers

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/catalog"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Service keeps the issuers of one mount.
type Service struct {
	table  *catalog.Table[identity.Issuer]
	now    func() time.Time
	logger hclog.Logger

	mu        sync.Mutex
	verifiers map[*identity.Issuer]*identity.Verifier
}

// New makes the service.
func New(storage logical.Storage, now func() time.Time, logger hclog.Logger) *Service {
	return &Service{
		table: catalog.NewTable[identity.Issuer]("issuer", store.Issuers, storage),
		now:   now, logger: logger, verifiers: map[*identity.Issuer]*identity.Verifier{},
	}
}

// Forget drops what memory knows of a storage key that was changed elsewhere.
func (s *Service) Forget(key string) { s.table.Forget(key) }

// Get returns the issuer as it was written, or nil where there is none.
func (s *Service) Get(ctx context.Context, name string) (*identity.Issuer, error) {
	return s.table.Get(ctx, name)
}

// List lists the names of the issuers.
func (s *Service) List(ctx context.Context) ([]string, error) { return s.table.List(ctx) }

// Write puts an issuer in the place of old. With verify its keys must be had first.
func (s *Service) Write(ctx context.Context, name string, old, issuer *identity.Issuer, verify bool) error {
	issuer.Name, issuer.Revision = name, rand.Text()
	verifier, err := s.newVerifier(issuer)
	if err != nil {
		return err
	}
	if verify {
		if err := verifier.Prove(ctx); err != nil {
			return err
		}
	}
	return s.table.Replace(ctx, name, old, issuer)
}

// Delete removes an issuer. That no role relies on it is the caller's to check.
func (s *Service) Delete(ctx context.Context, name string) error { return s.table.Delete(ctx, name) }

// Verifier is the verifier of an issuer as it stands now, or fault.Denied where it
// is no more.
func (s *Service) Verifier(ctx context.Context, name string) (*identity.Verifier, error) {
	issuer, err := s.table.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if issuer == nil {
		return nil, fault.New(fault.Denied, "identity: issuer %q is no more; write it again or give the role another", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.verifiers[issuer]; v != nil {
		return v, nil
	}
	v, err := s.newVerifier(issuer)
	if err != nil {
		return nil, err
	}
	for other, known := range s.verifiers {
		if known.Issuer().Name == name {
			delete(s.verifiers, other) // a version that was replaced
		}
	}
	s.verifiers[issuer] = v
	return v, nil
}

func (s *Service) newVerifier(issuer *identity.Issuer) (*identity.Verifier, error) {
	return identity.NewVerifier(*issuer, identity.Options{Now: s.now, Logger: s.logger.With("issuer", issuer.Name)})
}
