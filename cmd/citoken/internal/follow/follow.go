// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package follow reads the engine's events to their end, and on.
package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/brief"
	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/login"
)

const (
	// page is how many events are read at once: the most that the engine gives.
	page = 1000
	// mostPause is the longest wait between two tries.
	mostPause = 30 * time.Second
	endTime   = 5 * time.Second
)

// Stream writes events as JSON lines, each at least once: the cursor moves after
// the line is out.
type Stream struct {
	Mount string
	// Follow goes on after the last event.
	Follow bool
	// Interval between two looks when following.
	Interval time.Duration
	// CursorFile keeps the place; empty starts with the oldest event each time.
	CursorFile string
	Out        io.Writer
	// Complain is told of what is tried again.
	Complain func(format string, args ...any)
	// Open logs in.
	Open func(context.Context) (*login.Session, error)

	cursor string
}

// Run writes events until there are no more, or with Follow until the context
// ends. When following, only what cannot be written out is an error: what Vault
// fails at is tried again, with a new login.
func (s *Stream) Run(ctx context.Context) error {
	if err := s.load(); err != nil {
		return err
	}
	pause := s.Interval
	for {
		before := s.cursor
		err := s.session(ctx)
		if s.cursor != before {
			pause = s.Interval
		}
		if err == nil || ctx.Err() != nil {
			return nil
		}
		var output *outputError
		if !s.Follow || errors.As(err, &output) {
			return err
		}
		s.Complain("events: %v; trying again", err)
		if wait(ctx, pause) != nil {
			return nil
		}
		pause = min(2*pause, mostPause)
	}
}

// session reads with one login.
func (s *Stream) session(ctx context.Context) error {
	session, err := s.Open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		cancel(session.Keep(ctx))
	}()
	defer func() {
		cancel(nil)
		<-kept
		ending, done := context.WithTimeout(context.Background(), endTime)
		defer done()
		if err := session.End(ending); err != nil {
			s.Complain("events: %v", err)
		}
	}()
	for {
		full, err := s.page(ctx, session)
		if err != nil {
			return err
		}
		if full {
			continue
		}
		if !s.Follow {
			return nil
		}
		if err := wait(ctx, s.Interval); err != nil {
			return err
		}
	}
}

// page writes one page of events, and says whether there may be more.
func (s *Stream) page(ctx context.Context, session *login.Session) (full bool, err error) {
	query := map[string][]string{"limit": {fmt.Sprint(page)}}
	if s.cursor != "" {
		query["after"] = []string{s.cursor}
	}
	answer, err := session.Client.Logical().ReadWithDataWithContext(ctx, s.Mount+"/events", query)
	if err != nil {
		return false, fmt.Errorf("read: %w", brief.Error(err))
	}
	if answer == nil {
		return false, fmt.Errorf("read: nothing is at %s/events", s.Mount)
	}
	events, _ := answer.Data["events"].([]any)
	if len(events) == 0 {
		return false, nil
	}
	var lines strings.Builder
	for _, event := range events {
		fmt.Fprintln(&lines, event)
	}
	if _, err := io.WriteString(s.Out, lines.String()); err != nil {
		return false, &outputError{err}
	}
	s.cursor, _ = answer.Data["next"].(string)
	if err := s.save(); err != nil {
		return false, &outputError{err}
	}
	return len(events) == page, nil
}

func (s *Stream) load() error {
	if s.CursorFile == "" {
		return nil
	}
	text, err := os.ReadFile(s.CursorFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cursor: %w", err)
	}
	s.cursor = strings.TrimSpace(string(text))
	return nil
}

// save replaces the cursor file in one step: a crash leaves the old cursor or the
// new one.
func (s *Stream) save() error {
	if s.CursorFile == "" {
		return nil
	}
	file, err := os.CreateTemp(filepath.Dir(s.CursorFile), ".cursor-")
	if err != nil {
		return fmt.Errorf("cursor: %w", err)
	}
	_, err = fmt.Fprintln(file, s.cursor)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), s.CursorFile)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cursor: %w", err), os.Remove(file.Name()))
	}
	return nil
}

// outputError is one that another login does not mend.
type outputError struct{ err error }

func (e *outputError) Error() string { return e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
