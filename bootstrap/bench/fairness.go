// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"time"
)

// Fairness is what one config's readers feel of another's platform that hangs.
type Fairness struct {
	Callers     int           `json:"callers"`
	HungCallers int           `json:"hung_callers"`
	Alone       time.Duration `json:"p50_alone_ns"`
	Beside      time.Duration `json:"p50_beside_ns"`
	// Change is Beside over Alone, less one.
	Change float64 `json:"change"`
	Errors int     `json:"errors"`
}

const (
	fairCallers = 4
	hungCallers = 64
)

// fairness compares B's reads with nobody else there and with callers that wait for
// A, turn by turn.
func (b *bench) fairness(ctx context.Context, s *stand) error {
	hanging, err := s.newPlatform(ctx, "a", 0, 1, 1)
	if err != nil {
		return err
	}
	well, err := s.newPlatform(ctx, "b", 0, 1, 1)
	if err != nil {
		return err
	}
	if err := hanging.hang(ctx); err != nil {
		return err
	}
	var alone, beside sample
	reads := load{callers: fairCallers, time: b.plan.FairSlice, next: well.reads(1, 1)}
	s.drive(ctx, reads) // what is slow only at first is not compared
	for range b.plan.FairRounds {
		alone.add(s.drive(ctx, reads))
		err := s.besideHung(ctx, hanging, func() { beside.add(s.drive(ctx, reads)) })
		if err != nil {
			return err
		}
	}
	f := &Fairness{
		Callers: fairCallers, HungCallers: hungCallers, Errors: alone.errors + beside.errors,
		Alone: alone.percentile(0.5), Beside: beside.percentile(0.5),
	}
	if f.Alone > 0 {
		f.Change = float64(f.Beside)/float64(f.Alone) - 1
	}
	b.result.Fairness = f
	return nil
}

// besideHung does something while callers wait for a platform that hangs.
func (s *stand) besideHung(ctx context.Context, hanging *platform, something func()) error {
	hung, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.drive(hung, load{callers: hungCallers, next: hanging.reads(1, 1)})
	}()
	err := until(ctx, 10*time.Second, func() (bool, error) {
		seen, err := hanging.counts(ctx)
		return seen.MaxConcurrent >= hungCallers, err
	})
	if err == nil {
		something()
	}
	cancel()
	<-done
	return err
}
