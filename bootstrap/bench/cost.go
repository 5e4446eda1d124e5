// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
)

// Cost is what one credential writes, Vault's own lease and token index included.
type Cost struct {
	Ours  Writes `json:"ours"`
	Floor Writes `json:"floor"`
	// Own are the engine's own storage writes: what is left when what Vault itself
	// writes for any lease is taken away. The floor's engine writes once.
	Own float64 `json:"own_storage_writes"`
}

// Writes are by one credential.
type Writes struct {
	Storage float64 `json:"storage_writes"`
	// RaftBytes go through the raft log, AuditBytes into the audit file.
	RaftBytes  float64 `json:"raft_bytes"`
	AuditBytes float64 `json:"audit_bytes"`
}

// costCallers is enough for the log's pages to be shared, as they are under load.
const costCallers = 64

// cost counts what credentials for one repository write.
func (b *bench) cost(ctx context.Context, s *stand) error {
	p, err := s.newPlatform(ctx, "counted", 0, 1, 1)
	if err != nil {
		return err
	}
	c := &Cost{}
	if c.Floor, err = b.writes(ctx, s, floorRead); err != nil {
		return err
	}
	if c.Ours, err = b.writes(ctx, s, p.reads(1, 1)); err != nil {
		return err
	}
	c.Own = c.Ours.Storage - (c.Floor.Storage - 1)
	b.result.Cost = c
	return nil
}

func (b *bench) writes(ctx context.Context, s *stand, next func(int) ask) (Writes, error) {
	before, err := s.figures(ctx)
	if err != nil {
		return Writes{}, err
	}
	got := s.drive(ctx, load{callers: costCallers, time: b.plan.CostSlice, next: next})
	if got.failure != nil || len(got.took) == 0 {
		return Writes{}, errors.Join(errors.New("nothing to count"), got.failure)
	}
	after, err := s.figures(ctx)
	if err != nil {
		return Writes{}, err
	}
	did, n := after.since(before), float64(len(got.took))
	return Writes{Storage: did.puts / n, RaftBytes: did.raftBytes / n, AuditBytes: did.auditBytes / n}, nil
}
