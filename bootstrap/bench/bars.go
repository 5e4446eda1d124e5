// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Bar is one thing that is promised, and what was measured of it.
type Bar struct {
	Name     string `json:"name"`
	Wanted   string `json:"wanted"`
	Measured string `json:"measured"`
	// Figure is Measured as a number, for comparing.
	Figure float64 `json:"figure"`
	// Mark is met, MISSED or not measured.
	Mark string `json:"mark"`
}

// The marks.
const (
	met         = "met"
	missed      = "MISSED"
	notMeasured = "not measured"
)

// point is one of the matrix with one config.
type point struct {
	callers      int
	latency      time.Duration
	repositories int
}

// The points that bars are about.
var (
	onePoint   = point{callers: 64, repositories: 1}
	fiftyPoint = point{callers: 64, repositories: 50}
	crowdPoint = point{callers: 256, repositories: 1}
	tailPoint  = point{callers: 16, latency: 50 * time.Millisecond, repositories: 1}
)

// noise is by how much two rates of one run differ that should be the same.
const noise = 0.05

func (r *Result) judge() []Bar {
	return []Bar{
		r.ratio("one repository, 64 callers", onePoint, 0.6),
		r.ratio("fifty repositories, 64 callers", fiftyPoint, 0.3),
		r.tail(),
		r.crowd(),
		r.ownWrites(),
		r.leaseMemory(),
		r.pluginMemory(),
		r.drain(),
		r.atOnce(),
		r.readMeanwhile(),
		r.fair(),
	}
}

func bar(name, wanted string) Bar { return Bar{Name: name, Wanted: wanted, Mark: notMeasured} }

func (b Bar) got(figure float64, ok bool, format string, args ...any) Bar {
	b.Figure, b.Measured, b.Mark = figure, fmt.Sprintf(format, args...), missed
	if ok {
		b.Mark = met
	}
	return b
}

func (c *Cell) is(p point) bool {
	return c.Configs == 1 && p == point{c.Callers, c.Latency, c.Repositories}
}

// cell finds what was measured at a point.
func (r *Result) cell(p point) *Cell {
	for i := range r.Cells {
		if c := &r.Cells[i]; c.is(p) {
			return c
		}
	}
	return nil
}

// barred reports whether a bar is about this point.
func (c *Cell) barred() bool {
	return slices.ContainsFunc([]point{onePoint, fiftyPoint, crowdPoint, tailPoint}, c.is)
}

func (r *Result) ratio(name string, at point, least float64) Bar {
	b := bar(name, fmt.Sprintf("at least %.1f of the floor", least))
	c := r.cell(at)
	if c == nil {
		return b
	}
	return b.got(c.Ratio, c.Ratio >= least && c.Errors == 0, "%.2f (%.0f of %.0f a second)", c.Ratio, c.Rate, c.FloorRate)
}

func (r *Result) tail() Bar {
	b := bar("p99 with 50 ms at the platform, 16 callers", "under 50 ms + 3 x the floor's p50")
	c := r.cell(tailPoint)
	if c == nil {
		return b
	}
	most := tailPoint.latency + 3*c.FloorP50
	return b.got(float64(c.P99)/float64(most), c.P99 < most && c.Errors == 0, "%s of %s", milliseconds(c.P99), milliseconds(most))
}

func (r *Result) crowd() Bar {
	b := bar("256 callers", "no error, no worse throughput than at 64")
	many, few := r.cell(crowdPoint), r.cell(onePoint)
	if many == nil || few == nil || few.Rate == 0 {
		return b
	}
	errors := 0
	for _, c := range r.Cells {
		if c.Callers == 256 {
			errors += c.Errors
		}
	}
	part := many.Rate / few.Rate
	return b.got(part, errors == 0 && part >= 1-noise, "%d errors; %.2f of the rate at 64 (%.0f %% is noise)", errors, part, 100*noise)
}

func (r *Result) ownWrites() Bar {
	b := bar("storage writes of our own by issue", "one")
	if r.Cost == nil {
		return b
	}
	return b.got(r.Cost.Own, math.Round(r.Cost.Own) <= 1, "%.2f (what is over one is the log's pages, which many share)", r.Cost.Own)
}

func (r *Result) leaseMemory() Bar {
	b := bar("Vault's memory by live lease", "at most 4 KB over the floor's")
	if r.Memory == nil {
		return b
	}
	over := r.Memory.PerLease - r.Memory.FloorPerLease
	return b.got(float64(over), over <= 4<<10, "%d bytes over the floor's %d", over, r.Memory.FloorPerLease)
}

func (r *Result) pluginMemory() Bar {
	b := bar("plugin's memory while it issues", "within 10 % from 1,000 to 100,000 tokens")
	if r.Memory == nil || len(r.Memory.Points) < 2 {
		return b
	}
	first, last := r.Memory.Points[0], r.Memory.Points[len(r.Memory.Points)-1]
	growth := r.Memory.Growth()
	ok := growth <= 0.10 && last.Tokens >= r.Memory.Planned
	return b.got(growth, ok, "%+.0f %% (%s at %d tokens, %s at %d)", 100*growth,
		bytesText(first.Plugin.PSS), first.Tokens, bytesText(last.Plugin.PSS), last.Tokens)
}

func (r *Result) drain() Bar {
	b := bar("10,000 leases that end in the same second", "all dead within 90 s")
	if r.Revocation == nil {
		return b
	}
	v := r.Revocation
	return b.got(v.Drain.Seconds(), v.Alive == 0 && v.Drain <= 90*time.Second, "%d in %.1f s, %d left", v.Leases, v.Drain.Seconds(), v.Alive)
}

func (r *Result) atOnce() Bar {
	b := bar("at the platform meanwhile", "at most max_concurrency")
	if r.Revocation == nil {
		return b
	}
	v := r.Revocation
	return b.got(float64(v.MostAtOnce), v.MostAtOnce <= v.Allowed, "%d of %d", v.MostAtOnce, v.Allowed)
}

func (r *Result) readMeanwhile() Bar {
	b := bar("a single caller's read meanwhile", "slows less than threefold")
	if r.Revocation == nil {
		return b
	}
	v := r.Revocation
	return b.got(v.Slowdown(), v.Slowdown() > 0 && v.Slowdown() < 3 && v.Errors == 0, "%.1f times (p50 %s, before %s)",
		v.Slowdown(), milliseconds(v.ReadDuring), milliseconds(v.ReadBefore))
}

func (r *Result) fair() Bar {
	b := bar("p50 of one config while another's platform hangs", "within 20 %")
	if r.Fairness == nil {
		return b
	}
	f := r.Fairness
	return b.got(f.Change, f.Change <= 0.20 && f.Errors == 0, "%+.0f %% (%s, alone %s)", 100*f.Change, milliseconds(f.Beside), milliseconds(f.Alone))
}
