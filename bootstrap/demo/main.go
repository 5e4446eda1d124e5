// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Command demo shows the main job end to end: a pipeline step reads a token from a
// real Vault, uses it, and the token is dead when its lease is. It starts all that
// it needs on loopback, needs no account anywhere, and stops all it started.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// budget bounds the whole demonstration.
const budget = 3 * time.Minute

// platform is where the demonstration's tokens are made.
type platform interface {
	// start brings it up.
	start(ctx context.Context) error
	title() string
	// config and role are what the operator writes of it.
	config() []string
	role() []string
	// use does with the token what a pipeline step does, and tells of it.
	use(ctx context.Context, d *demo, username, token string) error
	// dead shows that the platform refuses the token.
	dead(ctx context.Context, d *demo, token string) error
	close() error
}

func platforms() map[string]platform {
	return map[string]platform{
		"github": &gitHub{},
		"gitlab": &gitLab{},
		"gitea":  &giteaServer{},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	name := flags.String("platform", "github", "platform to show: "+strings.Join(names(), " or "))
	if err := flags.Parse(args); err != nil {
		return err
	}
	where, known := platforms()[*name]
	if !known {
		return fmt.Errorf("platform %q: there is %s", *name, strings.Join(names(), ", "))
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	d := &demo{platform: where, out: os.Stdout, started: time.Now()}
	defer func() { err = errors.Join(err, d.close()) }()
	return d.run(ctx)
}

func names() []string {
	var list []string
	for name := range platforms() {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
