// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Revocation is what happens when leases end together.
type Revocation struct {
	Leases int `json:"leases"`
	// Drain is from the moment at which all of them end until the last token is dead
	// at the platform.
	Drain time.Duration `json:"drain_ns"`
	// Alive are tokens of theirs that were still alive when the measurement gave up.
	Alive int `json:"alive"`
	// MostAtOnce is the most requests that the platform had at any time, Allowed the
	// config's max_concurrency.
	MostAtOnce int `json:"most_at_once"`
	Allowed    int `json:"allowed_at_once"`
	// ReadBefore and ReadDuring are a single caller's.
	ReadBefore time.Duration `json:"read_p50_before_ns"`
	ReadDuring time.Duration `json:"read_p50_during_ns"`
	Errors     int           `json:"errors"`
}

// Slowdown is how many times as long a single caller's read takes meanwhile.
func (r *Revocation) Slowdown() float64 {
	if r.ReadBefore == 0 {
		return 0
	}
	return float64(r.ReadDuring) / float64(r.ReadBefore)
}

const (
	allowedAtOnce = 64
	// drainLimit is when the measurement gives up.
	drainLimit = 3 * time.Minute
	// lead is added to the time that issuing takes.
	lead = 5 * time.Second
)

// revocation makes leases that all end within the same second and watches.
func (b *bench) revocation(ctx context.Context, s *stand) error {
	p, err := s.newPlatform(ctx, "fast", 0, 1, 1)
	if err != nil {
		return err
	}
	r := &Revocation{Leases: b.plan.Expiries, Allowed: allowedAtOnce}
	b.result.Revocation = r
	reads := load{callers: 1, next: p.reads(1, 1)}
	reads.time = b.plan.ReadSlice
	before := s.drive(ctx, reads)
	r.ReadBefore = before.percentile(0.5)
	end, err := b.endTogether(ctx, s, p)
	if err != nil {
		return err
	}
	if err := sleepUntil(ctx, end); err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	during := make(chan sample, 1)
	reads.time = 0
	go func() { during <- s.drive(reading, reads) }()
	err = r.watch(ctx, p, end)
	stop()
	got := <-during
	if err != nil {
		return err
	}
	r.ReadDuring = got.percentile(0.5)
	// The last read was cut off by stop.
	r.Errors = before.errors + max(0, got.errors-1)
	return r.count(ctx, p)
}

// endTogether makes the leases, each with what is left until the same moment.
func (b *bench) endTogether(ctx context.Context, s *stand, p *platform) (end time.Time, err error) {
	trial := max(b.plan.Expiries/20, 50)
	begin := time.Now()
	if err := s.issue(ctx, trial, p.reads(1, 1)); err != nil {
		return end, err
	}
	perLease := time.Since(begin) / time.Duration(trial)
	end = time.Now().Add(perLease*time.Duration(b.plan.Expiries)*3/2 + lead).Truncate(time.Second)
	path := p.reads(1, 1)(0).path
	err = s.issue(ctx, b.plan.Expiries, func(int) ask {
		ttl := int(time.Until(end) / time.Second)
		return ask{path: path, body: fmt.Appendf(nil, `{"ttl":%d}`, max(ttl, 1))}
	})
	if err == nil && time.Now().After(end) {
		err = errors.New("the leases took so long to make that they did not end together; the machine is too busy")
	}
	return end, err
}

// watch waits until the platform has been asked to kill all of them.
func (r *Revocation) watch(ctx context.Context, p *platform, end time.Time) error {
	err := until(ctx, drainLimit, func() (bool, error) {
		seen, err := p.counts(ctx)
		r.Alive = max(0, r.Leases-seen.revocations())
		return r.Alive == 0, err
	})
	r.Drain = time.Since(end)
	if errors.Is(err, errTooLate) {
		return nil
	}
	return err
}

// count looks at what the platform has seen, and that what was to die is dead.
func (r *Revocation) count(ctx context.Context, p *platform) error {
	seen, err := p.counts(ctx)
	if err != nil {
		return err
	}
	r.MostAtOnce = seen.MaxConcurrent
	made := seen.Counts["POST /app/installations/{installation_id}/access_tokens"]
	r.Alive = max(r.Alive, seen.Live-(made-r.Leases))
	return nil
}

var errTooLate = errors.New("it took too long")

// until asks until the answer is yes, an error, or the limit.
func until(ctx context.Context, limit time.Duration, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		done, err := ask()
		switch {
		case ctx.Err() != nil:
			return errTooLate
		case err != nil || done:
			return err
		}
		if err := sleepUntil(ctx, time.Now().Add(100*time.Millisecond)); err != nil {
			return errTooLate
		}
	}
}

func sleepUntil(ctx context.Context, moment time.Time) error {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
