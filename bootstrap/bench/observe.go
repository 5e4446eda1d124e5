// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// footprint is what processes hold of the machine's memory, in bytes.
type footprint struct {
	RSS int64 `json:"rss"`
	PSS int64 `json:"pss"`
}

func footprintOf(pids ...int) (total footprint, err error) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return total, err
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 2 {
				continue
			}
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			switch fields[0] {
			case "Rss:":
				total.RSS += kilobytes << 10
			case "Pss:":
				total.PSS += kilobytes << 10
			}
		}
	}
	return total, nil
}

// footprints are those of Vault and of the plugin.
func (s *stand) footprints() (vault, plugin footprint, err error) {
	node := s.vault.Nodes[0]
	if vault, err = footprintOf(node.PID()); err != nil {
		return vault, plugin, err
	}
	pids, err := node.PluginPIDs()
	if err != nil {
		return vault, plugin, err
	}
	plugin, err = footprintOf(pids...)
	return vault, plugin, err
}

// tick is the unit of CPU time in /proc.
const tick = 10 * time.Millisecond

// cpuOf is the CPU time that processes have used so far.
func cpuOf(pids ...int) (total time.Duration, err error) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return total, err
		}
		// The name is in parentheses and may hold anything: user and system time are
		// the twelfth and thirteenth fields after it.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 13 {
			return total, fmt.Errorf("/proc/%d/stat is too short", pid)
		}
		for _, field := range fields[11:13] {
			ticks, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return total, err
			}
			total += time.Duration(ticks) * tick
		}
	}
	return total, nil
}

// CPU is what processes used.
type CPU struct {
	Vault    time.Duration `json:"vault_ns"`
	Plugin   time.Duration `json:"plugin_ns"`
	Platform time.Duration `json:"platform_ns"`
	Client   time.Duration `json:"client_ns"`
}

func (c CPU) plus(other CPU) CPU {
	return CPU{c.Vault + other.Vault, c.Plugin + other.Plugin, c.Platform + other.Platform, c.Client + other.Client}
}

func (c CPU) minus(other CPU) CPU {
	return CPU{c.Vault - other.Vault, c.Plugin - other.Plugin, c.Platform - other.Platform, c.Client - other.Client}
}

func (c CPU) by(n int) CPU {
	if n == 0 {
		return CPU{}
	}
	d := time.Duration(n)
	return CPU{c.Vault / d, c.Plugin / d, c.Platform / d, c.Client / d}
}

// cpu is what everybody has used so far.
func (s *stand) cpu() (used CPU, err error) {
	node := s.vault.Nodes[0]
	plugins, err := node.PluginPIDs()
	if err != nil {
		return used, err
	}
	var platforms []int
	for _, sim := range s.sims.all {
		platforms = append(platforms, sim.process.Process.Pid)
	}
	for _, of := range []struct {
		used *time.Duration
		pids []int
	}{
		{&used.Vault, []int{node.PID()}}, {&used.Plugin, plugins}, {&used.Platform, platforms}, {&used.Client, []int{os.Getpid()}},
	} {
		if *of.used, err = cpuOf(of.pids...); err != nil {
			return used, err
		}
	}
	return used, nil
}

var heapAlloc = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)

// vaultHeap is what Vault's heap holds after a garbage collection, in bytes. It is
// what Vault needs, where its RSS is what it once needed and has not given back.
func (s *stand) vaultHeap(ctx context.Context) (int64, error) {
	text, err := s.get(ctx, "sys/pprof/heap?debug=1&gc=1")
	if err != nil {
		return 0, err
	}
	found := heapAlloc.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("sys/pprof/heap does not say HeapAlloc")
	}
	return strconv.ParseInt(string(found[1]), 10, 64)
}

// figures are Vault's own counters and the size of the audit file.
type figures struct {
	puts, raftBytes, auditBytes float64
}

func (s *stand) figures(ctx context.Context) (figures, error) {
	text, err := s.get(ctx, "sys/metrics?format=prometheus")
	if err != nil {
		return figures{}, err
	}
	audit, err := os.Stat(s.vault.AuditPath)
	if err != nil {
		return figures{}, err
	}
	f := figures{auditBytes: float64(audit.Size())}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch name {
		case "vault_barrier_put_count":
			f.puts = number
		case "vault_raft_storage_entry_size_sum":
			f.raftBytes = number
		}
	}
	if f.puts == 0 || f.raftBytes == 0 {
		return f, fmt.Errorf("sys/metrics does not count storage writes")
	}
	return f, nil
}

func (f figures) since(before figures) figures {
	return figures{f.puts - before.puts, f.raftBytes - before.raftBytes, f.auditBytes - before.auditBytes}
}

func (s *stand) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Vault-Token", s.token)
	answer, err := s.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}
