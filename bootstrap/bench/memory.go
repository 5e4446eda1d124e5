// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"time"
)

// Memory is what leases cost Vault, and whether the plugin grows with what it has
// issued.
type Memory struct {
	// Leases of each kind were made for the figures of one.
	Leases        int   `json:"leases"`
	PerLease      int64 `json:"vault_bytes_per_lease"`
	FloorPerLease int64 `json:"floor_vault_bytes_per_lease"`
	// Points are taken under the same load, from few tokens to many.
	Points []MemoryPoint `json:"points"`
	// Planned is how many tokens the last point was meant to have.
	Planned int `json:"planned"`
}

// MemoryPoint is what the processes hold after so many issued tokens.
type MemoryPoint struct {
	Tokens int       `json:"tokens"`
	Vault  footprint `json:"vault"`
	Plugin footprint `json:"plugin"`
}

// Growth is the last point's plugin memory over the first's, less one.
func (m *Memory) Growth() float64 {
	if len(m.Points) < 2 || m.Points[0].Plugin.PSS == 0 {
		return 0
	}
	return float64(m.Points[len(m.Points)-1].Plugin.PSS)/float64(m.Points[0].Plugin.PSS) - 1
}

const (
	memoryCallers = 64
	// memoryBudget bounds the way to many tokens on a slow machine.
	memoryBudget = 6 * time.Minute
)

// memory makes leases of both kinds, then goes on to many tokens.
func (b *bench) memory(ctx context.Context, s *stand) error {
	p, err := s.newPlatform(ctx, "fast", 0, 1, 1)
	if err != nil {
		return err
	}
	m := &Memory{Leases: b.plan.Leases, Planned: b.plan.Many}
	b.result.Memory = m
	// What the first reads make once is no lease's.
	s.drive(ctx, load{callers: memoryCallers, number: memoryCallers, next: floorRead})
	if m.FloorPerLease, err = s.heapPerLease(ctx, m.Leases, func() error { return s.issue(ctx, m.Leases, floorRead) }); err != nil {
		return err
	}
	m.PerLease, err = s.heapPerLease(ctx, m.Leases, func() error {
		if err := s.issue(ctx, b.plan.Few, p.reads(1, 1)); err != nil {
			return err
		}
		if err := m.point(s, b.plan.Few); err != nil {
			return err
		}
		return s.issue(ctx, m.Leases-b.plan.Few, p.reads(1, 1))
	})
	if err != nil {
		return err
	}
	return m.climb(ctx, b, s, p)
}

// climb issues tokens up to the planned number and looks at the memory on the way.
func (m *Memory) climb(ctx context.Context, b *bench, s *stand, p *platform) error {
	start := time.Now()
	for issued := m.Leases; issued < m.Planned && time.Since(start) < memoryBudget; {
		step := min(max(m.Planned/10, 1), m.Planned-issued)
		if err := s.issue(ctx, step, p.reads(1, 1)); err != nil {
			return err
		}
		issued += step
		if err := m.point(s, issued); err != nil {
			return err
		}
		b.say("memory: %d tokens, the plugin has %s", issued, bytesText(m.Points[len(m.Points)-1].Plugin.PSS))
	}
	return ctx.Err()
}

func (m *Memory) point(s *stand, tokens int) error {
	vault, plugin, err := s.footprints()
	m.Points = append(m.Points, MemoryPoint{Tokens: tokens, Vault: vault, Plugin: plugin})
	return err
}

// issue makes so many leases with as many callers as the memory is measured under.
func (s *stand) issue(ctx context.Context, number int, next func(int) ask) error {
	return s.drive(ctx, load{callers: memoryCallers, number: number, next: next}).failure
}

// heapPerLease is by how much Vault's heap grows for each lease that issue makes.
func (s *stand) heapPerLease(ctx context.Context, number int, issue func() error) (int64, error) {
	before, err := s.vaultHeap(ctx)
	if err != nil {
		return 0, err
	}
	if err := issue(); err != nil {
		return 0, err
	}
	after, err := s.vaultHeap(ctx)
	return (after - before) / int64(number), err
}
