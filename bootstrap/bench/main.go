// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Command bench measures the engine on a real Vault (raft storage, a file audit
// device, the plugin as a process) against a GitHub simulator that serves TLS from
// a process of its own. The floor stands beside it in the same run: Vault's own
// leased `ssh` one-time password, which calls nobody and needs no plugin process.
//
//	bench [-quick] [-json file] [-only phase,...] [-profile folder]
//	bench compare before.json after.json
//
// It prints a table, and each bar with its figure and a mark. Rates differ from
// machine to machine; the ratios to the floor are what to compare.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) > 0 && args[0] == "compare" {
		return compareFiles(args[1:], out)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "a small run that shows that everything works; its figures say little")
	file := flags.String("json", "", "write the figures to this `file`; - is standard output, in the place of the table")
	only := flags.String("only", "", "`phases` to run, by comma: "+phaseNames())
	profile := flags.String("profile", "", "write CPU profiles of plugin and Vault under load into this `folder`; the figures then say little")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	b := &bench{plan: fullPlan(), progress: progress, profiles: *profile}
	if *quick {
		b.plan = quickPlan()
	}
	if *profile != "" {
		b.plan = profilePlan()
	}
	result, err := b.run(ctx, *only)
	if err != nil {
		return err
	}
	if *file != "-" {
		result.print(out)
	}
	return writeJSON(result, *file, out)
}

func writeJSON(result *Result, file string, out io.Writer) error {
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if file == "-" {
		_, err = out.Write(text)
		return err
	}
	return os.WriteFile(file, text, 0o644)
}
