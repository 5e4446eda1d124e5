// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/child"
	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/cijob"
	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/credential"
	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/login"
	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/mask"
)

// endTime bounds what is done after the command: runners give a job that they
// cancel about ten seconds.
const endTime = 8 * time.Second

// The values of -mask.
const (
	maskAuto   = "auto"
	maskAlways = "always"
	maskNever  = "never"
)

type execution struct {
	streams
	connection
	asking
	delivery
	mask, action, target string
}

func runExec(ctx context.Context, args []string, s streams) int {
	x := &execution{streams: s}
	flags := newFlags(s, "exec", "exec -role ROLE [flags] -- COMMAND [arguments]")
	x.connection.declare(flags)
	x.asking.declare(flags)
	x.delivery.declare(flags)
	flags.StringVar(&x.mask, "mask", maskAuto, "blot the token out of what COMMAND prints: auto (in CI), always or never")
	flags.StringVar(&x.action, "action", "", "what to put on record as the use of the token; the name of COMMAND if left out")
	flags.StringVar(&x.target, "target", "", "on what it is used; the repositories if left out")
	if code, ok := parsed(flags, args); !ok {
		return code
	}
	if flags.NArg() == 0 {
		s.complain("exec: no COMMAND: citoken exec -role ROLE -- COMMAND")
		return exitTrouble
	}
	relay, ctx := child.NewRelay(ctx)
	defer relay.Stop()
	return x.run(ctx, relay, flags.Args())
}

// run holds the order of things: whatever is begun here is ended here, also when
// a signal comes in between.
func (x *execution) run(ctx context.Context, relay *child.Relay, args []string) int {
	session, made, err := x.get(ctx, &x.connection)
	if session != nil {
		defer x.end(session, made)
	}
	if err != nil {
		return x.failed(ctx, err)
	}
	if err := x.hide(made); err != nil {
		return x.failed(ctx, err)
	}
	environment, cleanUp, err := x.deliver(made)
	defer cleanUp()
	if err != nil {
		return x.failed(ctx, err)
	}
	command, flush := x.command(args, environment, made)
	if err := relay.Start(ctx, command); err != nil {
		x.complain("exec: %s", child.Explain(err))
		return child.Code(err)
	}
	defer x.accompany(ctx, session, made, filepath.Base(args[0]))()
	err = relay.Wait(command)
	flush()
	if problem := child.Explain(err); problem != "" {
		x.complain("exec: %s", problem)
	}
	return child.Code(err)
}

// failed tells what went wrong before the command ran.
func (x *execution) failed(ctx context.Context, err error) int {
	if cause := context.Cause(ctx); cause != nil {
		x.complain("exec: %v", cause)
		return child.Code(cause)
	}
	x.complain("exec: %v", err)
	return exitTrouble
}

func (x *execution) hide(made *credential.Credential) error {
	if x.mask == maskNever {
		return nil
	}
	return cijob.Current().HideInLog(x.err, made.Secrets()...)
}

// command is made so that the token is in nobody's arguments.
func (x *execution) command(args, environment []string, made *credential.Credential) (*exec.Cmd, func()) {
	command := exec.Command(args[0], args[1:]...) //nolint:noctx // it ends by itself or by the signals that are passed on
	command.Env, command.Stdin, command.Stdout, command.Stderr = environment, x.in, x.out, x.err
	if x.mask != maskAlways && (x.mask != maskAuto || !cijob.Current().InCI()) {
		return command, func() {}
	}
	out, errs := mask.New(x.out, made.Secrets()...), mask.New(x.err, made.Secrets()...)
	command.Stdout, command.Stderr = out, errs
	return command, func() {
		// What cannot be written any more has no reader.
		_, _ = out.Flush(), errs.Flush()
	}
}

// accompany keeps login and lease alive and records the use while the command
// runs. What it returns waits for all of that to be over.
func (x *execution) accompany(ctx context.Context, session *login.Session, made *credential.Credential, name string) func() {
	// A signal for the command does not end what the command needs.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	action, target := x.action, x.target
	if action == "" {
		action = name
	}
	if target == "" {
		target = strings.Join(made.Repositories, ",")
	}
	var running, recording sync.WaitGroup
	recording.Go(func() {
		ctx, done := context.WithTimeout(ctx, endTime)
		defer done()
		if err := made.Used(ctx, session.Client, action, target); err != nil {
			x.complain("exec: %v", err)
		}
	})
	running.Go(func() {
		if err := made.Keep(ctx, session.Client); err != nil {
			x.complain("exec: the credential is lost: %v", err)
		}
	})
	running.Go(func() {
		if err := session.Keep(ctx); err != nil {
			x.complain("exec: the login is lost, and the credential with it: %v", err)
		}
	})
	return func() {
		recording.Wait()
		cancel()
		running.Wait()
	}
}

// end kills the token. A login of our own takes its leases with it, so that this
// works without any policy beside the default one. Where it cannot be
// revoked, as batch tokens cannot, the credential is, by its own lease.
func (x *execution) end(session *login.Session, made *credential.Credential) {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	if session.Owned() {
		err := session.End(ctx)
		if err == nil {
			return
		}
		x.complain("exec: %v; the login ends by itself", err)
	}
	if made == nil {
		return
	}
	if err := made.Revoke(ctx, session.Client); err != nil {
		x.complain("exec: %v; the token ends with its lease, in %s or less", err, x.lease)
	}
}

// ownEnvironment is that of the command: this program's without what only this
// program needs to log in.
func ownEnvironment() []string {
	var kept []string
	for _, entry := range os.Environ() {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "VAULT_SECRET_ID", "VAULT_SECRET_ID_FILE":
		default:
			kept = append(kept, entry)
		}
	}
	return kept
}
