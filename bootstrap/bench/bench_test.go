// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestQuickRunMeasuresEveryBar(t *testing.T) {
	file := filepath.Join(t.TempDir(), "run.json")
	var out, progress bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	require.NoError(t, command(ctx, []string{"-quick", "-json", file}, &out, &progress), progress.String())

	result, err := readResult(file)
	require.NoError(t, err)
	require.Len(t, result.Bars, len((&Result{}).judge()))
	for _, bar := range result.Bars {
		require.NotEqual(t, notMeasured, bar.Mark, bar.Name)
		require.NotEmpty(t, bar.Measured, bar.Name)
		require.Contains(t, out.String(), bar.Name)
	}
	require.Len(t, result.Cells, len(quickPlan().cells()))
	for _, cell := range result.Cells {
		require.Positive(t, cell.Tokens, cell.String())
		require.Zero(t, cell.Errors, cell.Failure)
	}
	require.NotEmpty(t, result.Limits, "what part of GitHub's limits the load would be")

	var compared bytes.Buffer
	require.NoError(t, command(ctx, []string{"compare", file, file}, &compared, &progress))
	require.Contains(t, compared.String(), "+0 %")
}

func TestBars(t *testing.T) {
	good := func() *Result {
		return &Result{
			Cells: []Cell{
				{Callers: 64, Repositories: 1, Configs: 1, Rate: 600, FloorRate: 1000, Ratio: 0.6},
				{Callers: 64, Repositories: 50, Configs: 1, Rate: 300, FloorRate: 1000, Ratio: 0.3},
				{Callers: 256, Repositories: 1, Configs: 1, Rate: 600},
				{Callers: 16, Latency: 50 * time.Millisecond, Repositories: 1, Configs: 1, P99: 79 * time.Millisecond, FloorP50: 10 * time.Millisecond},
			},
			Cost:     &Cost{Own: 1.02},
			Fairness: &Fairness{Change: 0.2},
			Memory: &Memory{PerLease: 9 << 10, FloorPerLease: 5 << 10, Planned: 100, Points: []MemoryPoint{
				{Tokens: 1, Plugin: footprint{PSS: 1000}}, {Tokens: 100, Plugin: footprint{PSS: 1099}},
			}},
			Revocation: &Revocation{
				Leases: 10_000, Drain: 90 * time.Second, MostAtOnce: 64, Allowed: 64,
				ReadBefore: 10 * time.Millisecond, ReadDuring: 29 * time.Millisecond,
			},
		}
	}
	for _, bar := range good().judge() {
		require.Equal(t, met, bar.Mark, bar.Name)
	}
	for _, bar := range (&Result{}).judge() {
		require.Equal(t, notMeasured, bar.Mark, bar.Name)
	}
	for name, spoil := range map[string]func(*Result){
		"one repository, 64 callers":                 func(r *Result) { r.Cells[0].Ratio = 0.59 },
		"fifty repositories, 64 callers":             func(r *Result) { r.Cells[1].Errors = 1 },
		"p99 with 50 ms at the platform, 16 callers": func(r *Result) { r.Cells[3].P99 = 80 * time.Millisecond },
		"256 callers":                                      func(r *Result) { r.Cells[2].Rate = 500 },
		"storage writes of our own by issue":               func(r *Result) { r.Cost.Own = 2 },
		"Vault's memory by live lease":                     func(r *Result) { r.Memory.PerLease++ },
		"plugin's memory while it issues":                  func(r *Result) { r.Memory.Points[1].Tokens = 99 },
		"10,000 leases that end in the same second":        func(r *Result) { r.Revocation.Alive = 1 },
		"at the platform meanwhile":                        func(r *Result) { r.Revocation.MostAtOnce = 65 },
		"a single caller's read meanwhile":                 func(r *Result) { r.Revocation.ReadDuring = 30 * time.Millisecond },
		"p50 of one config while another's platform hangs": func(r *Result) { r.Fairness.Change = 0.21 },
	} {
		r := good()
		spoil(r)
		for _, bar := range r.judge() {
			require.Equal(t, bar.Name == name, bar.Mark == missed, "%s when %s is spoilt", bar.Name, name)
		}
	}
}

func TestCommandRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, args := range [][]string{{"-only", "dreams"}, {"more"}, {"compare", "one.json"}, {"compare", "none.json", "none.json"}} {
		var out bytes.Buffer
		require.Error(t, command(t.Context(), args, &out, &out), args)
	}
}

func TestBarsArePointsOfTheMatrix(t *testing.T) {
	barred := 0
	for _, c := range fullPlan().cells() {
		if c.barred() {
			require.NotNil(t, (&Result{Cells: []Cell{*c}}).cell(point{c.Callers, c.Latency, c.Repositories}))
			barred++
		}
	}
	require.Equal(t, 4, barred)
}
