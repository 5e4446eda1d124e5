// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
)

// profilesAddress is where a profiled plugin listens.
const profilesAddress = "127.0.0.1:16060"

// bench is one run.
type bench struct {
	plan     plan
	progress io.Writer
	// profiles is the folder for profiles; empty for none.
	profiles string

	dir       string
	dirs      int
	plugin    world.Plugin
	simulator string
	result    *Result
}

// phase is a part of the run that has a Vault of its own.
type phase struct {
	name    string
	measure func(*bench, context.Context, *stand) error
}

func phases() []phase {
	return []phase{
		{"reads", (*bench).reads},
		{"cost", (*bench).cost},
		{"fairness", (*bench).fairness},
		{"memory", (*bench).memory},
		{"revocation", (*bench).revocation},
	}
}

func phaseNames() string {
	var names []string
	for _, p := range phases() {
		names = append(names, p.name)
	}
	return strings.Join(names, ", ")
}

// run measures the named phases, all where none is named.
func (b *bench) run(ctx context.Context, only string) (result *Result, err error) {
	wanted := strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	for _, name := range wanted {
		if !slices.ContainsFunc(phases(), func(p phase) bool { return p.name == name }) {
			return nil, fmt.Errorf("there is no phase %q; there are %s", name, phaseNames())
		}
	}
	if b.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	b.result = newResult(b.plan.Quick)
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	for _, p := range phases() {
		if len(wanted) > 0 && !slices.Contains(wanted, p.name) {
			continue
		}
		start := time.Now()
		if err := b.measure(ctx, p); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		b.say("%s: %s", p.name, time.Since(start).Round(time.Second))
	}
	b.result.finish()
	return b.result, nil
}

func (b *bench) measure(ctx context.Context, p phase) (err error) {
	s, err := b.newStand(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return p.measure(b, ctx, s)
}

// build builds the programs; the plugin is the one that users run, unless profiles
// are wanted.
func (b *bench) build(ctx context.Context) error {
	b.simulator = filepath.Join(b.dir, "github-simulator")
	if err := world.BuildPlugin(ctx, "./cmd/github-simulator", b.simulator); err != nil {
		return err
	}
	b.plugin = world.Plugin{Binary: filepath.Join(b.dir, "vault-plugin-secrets-ci")}
	source := world.EnginePackage
	if b.profiles != "" {
		source = "./bootstrap/bench/profiled"
		b.plugin.Args = []string{"-profiles=" + profilesAddress}
		if err := os.MkdirAll(b.profiles, 0o755); err != nil {
			return err
		}
	}
	return world.BuildPlugin(ctx, source, b.plugin.Binary)
}

func (b *bench) newDir() string {
	b.dirs++
	return filepath.Join(b.dir, fmt.Sprint(b.dirs))
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.progress, format+"\n", args...) }
