// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Command citoken does around a credential what `vault` alone does not: it gives
// one to a command and ends it with the command, serves git, finds credentials
// where they should not be, and follows the engine's events.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// Exit codes of citoken itself. exec has those of its command.
const (
	exitOK = iota
	// exitFindings says that scan found something.
	exitFindings
	// exitTrouble says that something could not be done.
	exitTrouble
)

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// complain tells people what is wrong, on stderr.
func (s streams) complain(format string, args ...any) {
	fmt.Fprintf(s.err, "citoken: "+format+"\n", args...)
}

// command is one of the subcommands.
type command struct {
	name, summary string
	run           func(ctx context.Context, args []string, s streams) int
}

func commands() []command {
	return []command{
		{"exec", "run a command with a credential that ends with it", runExec},
		{"git-credential", "serve git, as a credential helper", runGitCredential},
		{"scan", "find credentials, and kill those that are ours", runScan},
		{"events", "write what happened as JSON lines", runEvents},
	}
}

func main() {
	os.Exit(run(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

func run(args []string, s streams) int {
	if len(args) > 0 {
		for _, c := range commands() {
			if c.name == args[0] {
				return c.run(context.Background(), args[1:], s)
			}
		}
		if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
			usage(s.out)
			return exitOK
		}
		s.complain("there is no command %q", args[0])
	}
	usage(s.err)
	return exitTrouble
}

func usage(out io.Writer) {
	fmt.Fprintln(out, "Usage: citoken COMMAND [flags]")
	fmt.Fprintln(out)
	for _, c := range commands() {
		fmt.Fprintf(out, "  %-15s %s\n", c.name, c.summary)
	}
	fmt.Fprintln(out)
	fmt.Fprintln(out, "citoken COMMAND -h tells the flags of one. Each can also be set in the environment:")
	fmt.Fprintln(out, "CITOKEN_ROLE for -role. Vault is found as its own clients find it: VAULT_ADDR and the like.")
}

// parsed reads flags; ok is false when the program is to end with the code.
func parsed(flags *flag.FlagSet, args []string) (code int, ok bool) {
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK, false
	case err != nil:
		return exitTrouble, false
	}
	if err := fromEnvironment(flags); err != nil {
		fmt.Fprintf(flags.Output(), "citoken: %v\n", err)
		return exitTrouble, false
	}
	return exitOK, true
}
