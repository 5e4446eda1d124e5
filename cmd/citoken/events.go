// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"os/signal"
	"syscall"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/follow"
)

func runEvents(ctx context.Context, args []string, s streams) int {
	var c connection
	var stream follow.Stream
	flags := newFlags(s, "events", "events [-follow] [-after FILE] [flags]")
	c.declare(flags)
	flags.BoolVar(&stream.Follow, "follow", false, "go on with what happens from now on")
	flags.StringVar(&stream.CursorFile, "after", "", "file that the place in the log is kept in: what it says was written is not written again")
	flags.DurationVar(&stream.Interval, "interval", time.Second, "pause between two looks, with -follow")
	if code, ok := parsed(flags, args); !ok {
		return code
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	stream.Mount, stream.Out, stream.Complain, stream.Open = c.mountPath(), s.out, s.complain, c.open
	if err := stream.Run(ctx); err != nil && ctx.Err() == nil {
		s.complain("events: %v", err)
		return exitTrouble
	}
	return exitOK
}
