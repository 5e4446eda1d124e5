// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// Result is all that a run has measured. Phases that did not run are nil.
type Result struct {
	Commit  string    `json:"commit"`
	Machine string    `json:"machine"`
	Started time.Time `json:"started"`
	// Took is the whole run's, builds included.
	Took time.Duration `json:"took_ns"`
	// Quick figures say little.
	Quick bool `json:"quick"`

	Cells      []Cell      `json:"cells,omitempty"`
	Cost       *Cost       `json:"cost,omitempty"`
	Fairness   *Fairness   `json:"fairness,omitempty"`
	Memory     *Memory     `json:"memory,omitempty"`
	Revocation *Revocation `json:"revocation,omitempty"`
	Limits     []Share     `json:"limits,omitempty"`
	Bars       []Bar       `json:"bars"`
}

func newResult(quick bool) *Result {
	return &Result{Commit: commit(), Machine: machine(), Started: time.Now().UTC(), Quick: quick}
}

// finish judges what was measured.
func (r *Result) finish() {
	r.Took = time.Since(r.Started)
	r.Limits = r.shares()
	r.Bars = r.judge()
}

// commit is what git says of the working tree; empty outside of one.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func machine() string {
	return fmt.Sprintf("%d cores, %s, %s/%s, %s", runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

func processor() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if name, model, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return "unknown processor"
}

// print writes the tables as Markdown, which terminals show as well.
func (r *Result) print(out io.Writer) {
	fmt.Fprintf(out, "\n%s; %s; %s\n", r.Machine, r.Commit, r.Took.Round(time.Second))
	if r.Quick {
		fmt.Fprintln(out, "A quick run: it shows that everything works; its figures say little.")
	}
	for _, part := range []func(io.Writer){r.printReads, r.printCPU, r.printCost, r.printMemory, r.printLimits, r.printBars} {
		part(out)
	}
}

// table writes aligned rows, the first one as the heading; nothing where there are
// no others.
func table(out io.Writer, rows [][]string) {
	if len(rows) < 2 {
		return
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	for i, row := range rows {
		fmt.Fprintln(w, "| "+strings.Join(row, "\t| ")+"\t|")
		if i == 0 {
			fmt.Fprintln(w, strings.Repeat("| ---\t", len(row))+"|")
		}
	}
	_ = w.Flush() // out is a terminal, a file or a buffer: what it lost is seen
}

func (r *Result) printReads(out io.Writer) {
	rows := [][]string{{"platform", "repositories", "configs", "callers", "tokens/s", "floor/s", "ratio", "p50", "p90", "p99", "floor p50", "errors"}}
	for _, c := range r.Cells {
		rows = append(rows, []string{
			c.Latency.String(), fmt.Sprint(c.Repositories), fmt.Sprint(c.Configs), fmt.Sprint(c.Callers),
			fmt.Sprintf("%.0f", c.Rate), fmt.Sprintf("%.0f", c.FloorRate), fmt.Sprintf("%.2f", c.Ratio),
			milliseconds(c.P50), milliseconds(c.P90), milliseconds(c.P99), milliseconds(c.FloorP50), fmt.Sprint(c.Errors),
		})
	}
	table(out, rows)
}

func (r *Result) printCPU(out io.Writer) {
	rows := [][]string{{"CPU time by token", "Vault", "plugin", "platform", "client", "floor's Vault", "floor's client"}}
	for _, c := range r.Cells {
		rows = append(rows, []string{
			c.String(), milliseconds(c.CPU.Vault), milliseconds(c.CPU.Plugin), milliseconds(c.CPU.Platform), milliseconds(c.CPU.Client),
			milliseconds(c.FloorCPU.Vault), milliseconds(c.FloorCPU.Client),
		})
	}
	table(out, rows)
}

func (r *Result) printCost(out io.Writer) {
	rows := [][]string{{"by credential", "ours", "floor"}}
	if c := r.Cost; c != nil {
		rows = append(rows,
			[]string{"storage writes", fmt.Sprintf("%.2f", c.Ours.Storage), fmt.Sprintf("%.2f", c.Floor.Storage)},
			[]string{"bytes through raft", fmt.Sprintf("%.0f", c.Ours.RaftBytes), fmt.Sprintf("%.0f", c.Floor.RaftBytes)},
			[]string{"bytes in the audit file", fmt.Sprintf("%.0f", c.Ours.AuditBytes), fmt.Sprintf("%.0f", c.Floor.AuditBytes)})
	}
	if m := r.Memory; m != nil {
		rows = append(rows, []string{"Vault's memory by live lease", fmt.Sprintf("%d", m.PerLease), fmt.Sprintf("%d", m.FloorPerLease)})
	}
	table(out, rows)
}

func (r *Result) printMemory(out io.Writer) {
	rows := [][]string{{"tokens issued", "plugin RSS", "plugin PSS", "Vault RSS", "Vault PSS"}}
	if r.Memory != nil {
		for _, p := range r.Memory.Points {
			rows = append(rows, []string{
				fmt.Sprint(p.Tokens), bytesText(p.Plugin.RSS), bytesText(p.Plugin.PSS), bytesText(p.Vault.RSS), bytesText(p.Vault.PSS),
			})
		}
	}
	table(out, rows)
}

func (r *Result) printLimits(out io.Writer) {
	rows := [][]string{{"real GitHub's limit", "this load", "part of it"}}
	for _, s := range r.Limits {
		rows = append(rows, []string{s.Limit, s.Load, fmt.Sprintf("%.1f times", s.Part)})
	}
	table(out, rows)
}

func (r *Result) printBars(out io.Writer) {
	rows := [][]string{{"bar", "wanted", "measured", "met"}}
	for _, bar := range r.Bars {
		rows = append(rows, []string{bar.Name, bar.Wanted, bar.Measured, bar.Mark})
	}
	table(out, rows)
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

func bytesText(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
