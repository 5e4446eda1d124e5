// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package child

import (
	"context"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCode(t *testing.T) {
	run := func(script string) error { return exec.CommandContext(t.Context(), "sh", "-c", script).Run() }
	require.Equal(t, 0, Code(run("true")))
	require.Equal(t, 7, Code(run("exit 7")))
	require.Equal(t, 143, Code(run("kill -TERM $$")))
	require.Equal(t, 127, Code(exec.CommandContext(t.Context(), "no-such-command").Run()))
	file := t.TempDir() + "/no-program"
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Equal(t, 126, Code(exec.CommandContext(t.Context(), file).Run()))
	require.Equal(t, 130, Code(Interrupted{syscall.SIGINT}))
}

func TestASignalBeforeTheCommandPreventsIt(t *testing.T) {
	relay, ctx := NewRelay(t.Context())
	defer relay.Stop()
	relay.take(syscall.SIGUSR1)
	require.NoError(t, ctx.Err(), "which is for the command to know what to do about")
	relay.take(syscall.SIGTERM)
	require.ErrorIs(t, context.Cause(ctx), Interrupted{syscall.SIGTERM})
	mark := t.TempDir() + "/ran"
	err := relay.Start(ctx, exec.Command("touch", mark))
	require.Equal(t, 143, Code(err))
	require.NoFileExists(t, mark)
}

func TestWhatTheCommandLeavesRunningDoesNotHoldItUp(t *testing.T) {
	relay, ctx := NewRelay(t.Context())
	defer relay.Stop()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	defer reader.Close()
	// A writer that is no file makes os/exec wait for everybody who has it.
	command := exec.Command("sh", "-c", "sleep 30 & echo $! >&3; exit 3")
	command.Stdout = new(discard)
	command.ExtraFiles = []*os.File{writer}
	require.NoError(t, relay.Start(ctx, command))
	require.NoError(t, writer.Close())
	require.Equal(t, 3, Code(relay.Wait(command)))
	pid := make([]byte, 32)
	n, err := reader.Read(pid)
	require.NoError(t, err)
	require.NoError(t, exec.Command("kill", string(pid[:n-1])).Run())
}

func TestOutputThatNobodyTakesEndsNothing(t *testing.T) {
	relay, ctx := NewRelay(t.Context())
	defer relay.Stop()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, reader.Close())
	t.Cleanup(func() { _ = writer.Close() })
	for script, code := range map[string]int{"echo hello; exit 3": 3, "echo hello": 0} {
		command := exec.Command("sh", "-c", script)
		// Not a file, so that what the command writes goes through this program.
		command.Stdout = io.MultiWriter(writer)
		require.NoError(t, relay.Start(ctx, command))
		require.Equal(t, code, Code(relay.Wait(command)), script)
	}
	relay.take(syscall.SIGPIPE)
	require.NoError(t, ctx.Err())
}

func TestABrokenPipeIsNotForTheCommand(t *testing.T) {
	relay, ctx := NewRelay(t.Context())
	defer relay.Stop()
	command := exec.Command("cat")
	input, err := command.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, relay.Start(ctx, command))
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGPIPE))
	relay.take(syscall.SIGPIPE)
	require.NoError(t, input.Close())
	require.Equal(t, 0, Code(relay.Wait(command)))
}

type discard struct{}

func (*discard) Write(p []byte) (int, error) { return len(p), nil }
