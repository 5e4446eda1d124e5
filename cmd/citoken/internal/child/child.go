// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package child runs a command in the place of this program: its signals, its
// output and its exit code are those of the command.
package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Exit codes as shells have them.
const (
	cannotRun = 126
	notFound  = 127
	bySignal  = 128
)

// lingering is how long the output of what the command has left running is waited
// for after it has ended.
const lingering = 5 * time.Second

// Interrupted is why a context that Relay made has ended.
type Interrupted struct{ Signal syscall.Signal }

func (i Interrupted) Error() string { return "interrupted: " + i.Signal.String() }

// Relay takes the signals that this program is sent. Before a command runs they
// end the context, after that they go to the command.
type Relay struct {
	signals chan os.Signal
	cancel  context.CancelCauseFunc
	stopped chan struct{}

	mu      sync.Mutex
	process *os.Process
}

// NewRelay starts to take signals, until Stop.
func NewRelay(parent context.Context) (*Relay, context.Context) {
	ctx, cancel := context.WithCancelCause(parent)
	r := &Relay{signals: make(chan os.Signal, 16), cancel: cancel, stopped: make(chan struct{})}
	signal.Notify(r.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE)
	go func() {
		defer close(r.stopped)
		for received := range r.signals {
			r.take(received.(syscall.Signal))
		}
	}()
	return r, ctx
}

func (r *Relay) take(received syscall.Signal) {
	if received == syscall.SIGPIPE {
		// Nobody reads what this program writes. That would end it before it has ended
		// the token; to ignore it instead, the command would inherit.
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process != nil {
		if typed(received) {
			return
		}
		// It may have ended just now, which is what the signal wanted.
		_ = r.process.Signal(received)
		return
	}
	if received != syscall.SIGUSR1 && received != syscall.SIGUSR2 {
		r.cancel(Interrupted{received})
	}
}

// Stop takes no more signals.
func (r *Relay) Stop() {
	signal.Stop(r.signals)
	close(r.signals)
	<-r.stopped
	r.cancel(nil)
}

// Start starts the command, unless a signal came before.
func (r *Relay) Start(ctx context.Context, command *exec.Cmd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	command.WaitDelay = lingering
	if err := command.Start(); err != nil {
		return err
	}
	r.process = command.Process
	return nil
}

// Wait waits for the command. Signals that come now have nobody to go to; what
// this program still has to do, it does. Output that nobody takes is no failure of
// the command.
func (r *Relay) Wait(command *exec.Cmd) error {
	err := command.Wait()
	if errors.Is(err, exec.ErrWaitDelay) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// Code is the exit code that says what became of a command.
func Code(err error) int {
	var exit *exec.ExitError
	var interrupted Interrupted
	switch {
	case err == nil:
		return 0
	case errors.As(err, &interrupted):
		return bySignal + int(interrupted.Signal)
	case errors.As(err, &exit):
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return bySignal + int(status.Signal())
		}
		return exit.ExitCode()
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return notFound
	case errors.Is(err, os.ErrPermission):
		return cannotRun
	}
	return 1
}

// Explain is what to tell of a command that did not run to its own end; empty for
// one that did.
func Explain(err error) string {
	var exit *exec.ExitError
	if err == nil || errors.As(err, &exit) {
		return ""
	}
	return fmt.Sprint(err)
}
