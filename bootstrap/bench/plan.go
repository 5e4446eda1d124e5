// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import "time"

// plan is how much is measured.
type plan struct {
	Quick bool
	// Callers, Latencies, Repositories and Configs span the matrix.
	Callers      []int
	Latencies    []time.Duration
	Repositories []int
	Configs      []int
	// Rounds of the matrix; in each the floor is measured right before every cell,
	// so that what else the machine does falls on both.
	Rounds int
	// BarRounds are more rounds of the points that bars are about.
	BarRounds int
	// FloorSlice and Slice are how long one cell is measured in one round.
	FloorSlice, Slice time.Duration
	// CostSlice is how long storage writes and audit bytes are counted.
	CostSlice time.Duration
	// FairSlice is how long each half of the fairness comparison takes; there are
	// FairRounds of both.
	FairSlice  time.Duration
	FairRounds int
	// Leases are as many as the memory of one is measured by.
	Leases int
	// Few and Many are after how many issued tokens the plugin's memory is compared.
	Few, Many int
	// Expiries are the leases that end together.
	Expiries int
	// ReadSlice is how long a single caller's reads are measured before that.
	ReadSlice time.Duration
}

func fullPlan() plan {
	return plan{
		Callers: []int{1, 16, 64, 256}, Latencies: []time.Duration{0, 50 * time.Millisecond},
		Repositories: []int{1, 50}, Configs: []int{1, 20},
		Rounds: 3, BarRounds: 10, FloorSlice: 700 * time.Millisecond, Slice: 1300 * time.Millisecond, CostSlice: 4 * time.Second,
		FairSlice: 3 * time.Second, FairRounds: 3,
		Leases: 5_000, Few: 1_000, Many: 100_000, Expiries: 10_000, ReadSlice: 4 * time.Second,
	}
}

// quickPlan has every phase and every bar in it.
func quickPlan() plan {
	return plan{
		Quick: true, Callers: []int{16, 64, 256}, Latencies: []time.Duration{0, 50 * time.Millisecond},
		Repositories: []int{1, 50}, Configs: []int{1},
		Rounds: 1, BarRounds: 1, FloorSlice: 150 * time.Millisecond, Slice: 300 * time.Millisecond, CostSlice: 500 * time.Millisecond,
		FairSlice: 500 * time.Millisecond, FairRounds: 1,
		Leases: 200, Few: 100, Many: 500, Expiries: 300, ReadSlice: 500 * time.Millisecond,
	}
}
