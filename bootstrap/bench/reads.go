// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"time"
)

// Cell is one point of the matrix with the floor that was measured beside it.
type Cell struct {
	Callers      int           `json:"callers"`
	Latency      time.Duration `json:"latency_ns"`
	Repositories int           `json:"repositories"`
	Configs      int           `json:"configs"`

	Rate   float64 `json:"rate"`
	Errors int     `json:"errors"`
	// Failure is one of the errors.
	Failure string `json:"failure,omitempty"`
	// Tokens were issued while this was measured.
	Tokens int           `json:"tokens"`
	P50    time.Duration `json:"p50_ns"`
	P90    time.Duration `json:"p90_ns"`
	P99    time.Duration `json:"p99_ns"`

	FloorRate float64       `json:"floor_rate"`
	FloorP50  time.Duration `json:"floor_p50_ns"`
	FloorP99  time.Duration `json:"floor_p99_ns"`
	Ratio     float64       `json:"ratio"`

	// CPU is by token, FloorCPU by one-time password: what else the machine does
	// shows in it the least.
	CPU      CPU `json:"cpu"`
	FloorCPU CPU `json:"floor_cpu"`

	ours, floor sample
}

func (c *Cell) String() string {
	return fmt.Sprintf("%d callers, %s, %d repositories, %d configs", c.Callers, c.Latency, c.Repositories, c.Configs)
}

func (p plan) cells() []*Cell {
	var cells []*Cell
	for _, latency := range p.Latencies {
		for _, repositories := range p.Repositories {
			for _, configs := range p.Configs {
				for _, callers := range p.Callers {
					cells = append(cells, &Cell{Callers: callers, Latency: latency, Repositories: repositories, Configs: configs})
				}
			}
		}
	}
	return cells
}

// reads measures the matrix, some rounds of all of it and then some more of what bars
// are about: from one round to the next a rate moves by a tenth.
func (b *bench) reads(ctx context.Context, s *stand) error {
	platforms := map[time.Duration]*platform{}
	for _, latency := range b.plan.Latencies {
		p, err := s.newPlatform(ctx, "after-"+latency.String(), latency, maxOf(b.plan.Configs), b.plan.Repositories...)
		if err != nil {
			return err
		}
		platforms[latency] = p
	}
	cells := b.plan.cells()
	for round := range b.plan.Rounds + b.plan.BarRounds {
		b.say("reads: round %d of %d", round+1, b.plan.Rounds+b.plan.BarRounds)
		for _, c := range cells {
			if round >= b.plan.Rounds && !c.barred() {
				continue
			}
			if err := b.read(ctx, s, c, platforms[c.Latency]); err != nil {
				return err
			}
		}
	}
	for _, c := range cells {
		c.settle()
		b.result.Cells = append(b.result.Cells, *c)
	}
	return ctx.Err()
}

// read measures the floor and then a cell once.
func (b *bench) read(ctx context.Context, s *stand, c *Cell, p *platform) error {
	floor := load{callers: c.Callers, time: b.plan.FloorSlice, next: floorRead}
	if err := s.accounted(ctx, floor, &c.floor, &c.FloorCPU); err != nil {
		return err
	}
	if c.floor.failure != nil {
		return fmt.Errorf("the floor: %w", c.floor.failure)
	}
	profiled := b.profile(ctx, s, c)
	defer profiled()
	return s.accounted(ctx, load{callers: c.Callers, time: b.plan.Slice, next: p.reads(c.Configs, c.Repositories)}, &c.ours, &c.CPU)
}

// accounted adds what comes of a load and the CPU time that it takes.
func (s *stand) accounted(ctx context.Context, l load, to *sample, used *CPU) error {
	before, err := s.cpu()
	if err != nil {
		return err
	}
	got := s.drive(ctx, l)
	after, err := s.cpu()
	if err != nil {
		return err
	}
	to.add(got)
	to.elapsed += got.elapsed
	*used = used.plus(after.minus(before))
	return nil
}

// settle makes figures of the samples.
func (c *Cell) settle() {
	c.Rate, c.FloorRate = c.ours.rate(), c.floor.rate()
	if c.FloorRate > 0 {
		c.Ratio = c.Rate / c.FloorRate
	}
	c.Tokens, c.Errors = len(c.ours.took), c.ours.errors
	if c.ours.failure != nil {
		c.Failure = c.ours.failure.Error()
	}
	c.CPU, c.FloorCPU = c.CPU.by(len(c.ours.took)), c.FloorCPU.by(len(c.floor.took))
	c.P50, c.P90, c.P99 = c.ours.percentile(0.5), c.ours.percentile(0.9), c.ours.percentile(0.99)
	c.FloorP50, c.FloorP99 = c.floor.percentile(0.5), c.floor.percentile(0.99)
}

func maxOf(list []int) int {
	most := 0
	for _, n := range list {
		most = max(most, n)
	}
	return most
}
