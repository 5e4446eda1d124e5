// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Command github-simulator runs a simulated GitHub with one organisation, one App
// installed on it and some repositories, for demonstrations. It prints one line of
// JSON that says how to connect, and runs until it is told to stop.
//
// GET /_simulator/tokens shows what has become of every token, by its SHA-256;
// POST and DELETE /_simulator/fail make requests fail and stop that.
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
	"path/filepath"
	"syscall"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// granted is what the demonstration's App may do: more than any role should, so
// that it is policy that says no, and not GitHub.
var granted = map[string]string{
	"actions": "write", "administration": "write", "attestations": "write", "checks": "write",
	"contents": "write", "deployments": "write", "issues": "write", "packages": "write",
	"pull_requests": "write", "secrets": "write", "statuses": "write", "workflows": "write",
}

type options struct {
	githubtest.Options
	organization string
	repositories int
	dir          string
	untilEOF     bool
}

// started is the line that says how to connect.
type started struct {
	URL            string   `json:"url"`
	AppID          int64    `json:"app_id"`
	ClientID       string   `json:"client_id"`
	InstallationID int64    `json:"installation_id"`
	Organization   string   `json:"organization"`
	Repositories   []string `json:"repositories"`
	PrivateKeyFile string   `json:"private_key_file"`
	CACertFile     string   `json:"ca_cert_file,omitempty"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "github-simulator:", err)
		os.Exit(1)
	}
}

// run runs a simulator until the context ends or, if that is asked for, stdin does.
func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "github-simulator-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	s, err := githubtest.New(o.Options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	line, err := populate(s, o)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(line); err != nil {
		return err
	}
	wait(ctx, stdin, o.untilEOF)
	return nil
}

func parse(args []string) (options, error) {
	o := options{Options: githubtest.Options{Control: true}}
	flags := flag.NewFlagSet("github-simulator", flag.ContinueOnError)
	flags.StringVar(&o.Address, "listen", "127.0.0.1:0", "`address` to listen on")
	flags.StringVar(&o.organization, "organization", "acme", "`login` of the organisation")
	flags.IntVar(&o.repositories, "repositories", 3, "`number` of repositories")
	flags.DurationVar(&o.Latency, "latency", 0, "`time` added to every answer")
	flags.DurationVar(&o.ReplicationDelay, "replication-delay", 0, "`time` until a fresh token works")
	flags.BoolVar(&o.TLS, "tls", false, "serve HTTPS")
	flags.BoolVar(&o.LongTokens, "long-tokens", false, "make tokens of the long form")
	flags.StringVar(&o.dir, "dir", "", "`folder` for the App's key and the CA (default a temporary one, removed at the end)")
	flags.BoolVar(&o.untilEOF, "until-eof", false, "stop when stdin closes")
	err := flags.Parse(args)
	switch {
	case err != nil:
		return o, err
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.repositories < 1:
		return o, errors.New("-repositories must be at least 1")
	}
	return o, nil
}

// populate makes the demonstration's world and writes its key and CA into files.
func populate(s *githubtest.Simulator, o options) (started, error) {
	names := []string{"web", "api", "infra"}
	for i := len(names); i < o.repositories; i++ {
		names = append(names, fmt.Sprintf("service-%d", i+1))
	}
	names = names[:o.repositories]
	app, installation := s.Install(o.organization, granted, names...)
	line := started{
		URL: s.URL(), AppID: app.ID, ClientID: app.ClientID, InstallationID: installation.ID,
		Organization: o.organization, Repositories: names, PrivateKeyFile: filepath.Join(o.dir, "app.pem"),
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return line, err
	}
	if err := os.WriteFile(line.PrivateKeyFile, []byte(app.PrivateKeyPEM()), 0o600); err != nil {
		return line, err
	}
	if o.TLS {
		line.CACertFile = filepath.Join(o.dir, "ca.pem")
		return line, os.WriteFile(line.CACertFile, s.CAPEM(), 0o644)
	}
	return line, nil
}

func wait(ctx context.Context, stdin io.Reader, untilEOF bool) {
	if !untilEOF {
		<-ctx.Done()
		return
	}
	eof := make(chan struct{})
	go func() { // ends with stdin, or with the process
		_, _ = io.Copy(io.Discard, stdin)
		close(eof)
	}()
	select {
	case <-ctx.Done():
	case <-eof:
	}
}
