// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/scan"
)

// scanner is what scan was asked for.
type scanner struct {
	streams
	connection
	git, log, variables, offline bool
	runID, format, output, where string
	targets                      []string
}

func runScan(ctx context.Context, args []string, s streams) int {
	x := &scanner{streams: s}
	flags := newFlags(s, "scan", "scan [-git] [-ci-log] [-env] [flags] [PATH... | -]")
	x.connection.declare(flags)
	flags.BoolVar(&x.git, "git", false, "look through git's history of each PATH (of . if left out) instead of its files")
	flags.BoolVar(&x.log, "ci-log", false, "look through the logs of a pipeline run: GitHub's with GITHUB_TOKEN, GitLab's with GITLAB_TOKEN")
	flags.StringVar(&x.runID, "run", "", "run to read the logs of, with -ci-log; this one if left out")
	flags.BoolVar(&x.variables, "env", false, "look through the variables of this job")
	flags.BoolVar(&x.offline, "offline", false, "list only: report nothing to the engine, so that what is ours lives on")
	flags.StringVar(&x.format, "format", scan.Formats[0], "format of the list: "+strings.Join(scan.Formats, ", "))
	flags.StringVar(&x.output, "output", "", "file to write the list to, instead of stdout")
	flags.StringVar(&x.where, "where", "", "where this is, for the record of what is exposed; the repository of the CI job if left out")
	if code, ok := parsed(flags, args); !ok {
		return code
	}
	if !slices.Contains(scan.Formats, x.format) {
		s.complain("scan: -format %q: want one of %s", x.format, strings.Join(scan.Formats, ", "))
		return exitTrouble
	}
	x.targets = flags.Args()
	if len(x.targets) == 0 && x.git {
		x.targets = []string{"."}
	}
	if len(x.targets) == 0 && !x.log && !x.variables {
		s.complain("scan: nothing to look through: give a PATH, - for stdin, -git, -ci-log or -env")
		return exitTrouble
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return x.run(ctx)
}

// run lists what it has found also where something went wrong: exitTrouble then
// says that the list is not all.
func (x *scanner) run(ctx context.Context) int {
	engine, err := scan.New()
	if err != nil {
		x.complain("%v", err)
		return exitTrouble
	}
	engine.Watch()
	failures := x.look(ctx, engine)
	failures = append(failures, engine.Failures()...)
	findings := engine.Findings()
	if len(findings) > 0 && !x.offline {
		if err := x.report(ctx, findings); err != nil {
			failures = append(failures, fmt.Errorf("scan: %w", err))
		}
	}
	if err := x.write(findings); err != nil {
		failures = append(failures, err)
	}
	for _, failure := range failures {
		x.complain("%v", failure)
	}
	switch {
	case len(failures) > 0:
		return exitTrouble
	case len(findings) > 0:
		x.complain("scan: %d finding(s)", len(findings))
		return exitFindings
	}
	return exitOK
}

func (x *scanner) look(ctx context.Context, engine *scan.Scanner) (failures []error) {
	note := func(err error) {
		if err != nil {
			failures = append(failures, err)
		}
	}
	for _, target := range x.targets {
		switch {
		case target == "-":
			note(engine.Stream(ctx, "stdin", x.in))
		case x.git:
			note(engine.History(ctx, target))
		default:
			note(engine.Tree(ctx, target))
		}
	}
	if x.variables {
		engine.Variables(ctx, os.Environ())
	}
	if x.log {
		note(engine.Logs(ctx, scan.Run{Getenv: os.Getenv, ID: x.runID}))
	}
	return failures
}

// report shows the engine what may be ours.
func (x *scanner) report(ctx context.Context, findings []scan.Finding) error {
	session, err := x.open(ctx)
	if err != nil {
		return err
	}
	err = scan.Expose(ctx, session.Client, x.mountPath(), x.place(), findings)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, session.End(ending))
}

func (x *scanner) place() string {
	for _, place := range []string{x.where, os.Getenv("GITHUB_REPOSITORY"), os.Getenv("CI_PROJECT_PATH")} {
		if place != "" {
			return place + ": "
		}
	}
	return ""
}

func (x *scanner) write(findings []scan.Finding) error {
	var list bytes.Buffer
	if err := scan.Write(&list, x.format, findings); err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	if x.output != "" {
		return os.WriteFile(x.output, list.Bytes(), 0o600)
	}
	_, err := x.out.Write(list.Bytes())
	return err
}
