// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package child

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// partVariable says which part of TestTheKeyboard a process of it plays.
const partVariable = "CITOKEN_TEST_PART"

// TestTheKeyboard holds that what is typed reaches the command once, and what this
// program alone is sent reaches it as well.
func TestTheKeyboard(t *testing.T) {
	switch os.Getenv(partVariable) {
	case "relay":
		playRelay(t)
		return
	case "command":
		playCommand()
		return
	}
	keyboard, terminal := openTerminal(t)
	program := play("relay")
	reader, err := program.StdoutPipe()
	require.NoError(t, err)
	program.Stdin, program.Stderr = terminal, os.Stderr
	program.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, program.Start())
	lines := bufio.NewScanner(reader)
	var told []string
	for lines.Scan() && lines.Text() != "PASS" {
		told = append(told, lines.Text())
		switch lines.Text() {
		case "ready":
			_, err = keyboard.Write([]byte{3}) // Ctrl-C
			require.NoError(t, err)
		case "interrupt":
			require.NoError(t, program.Process.Signal(syscall.SIGTERM))
		}
	}
	require.NoError(t, program.Wait())
	require.Equal(t, []string{"ready", "interrupt", "terminated"}, told)
}

func play(part string) *exec.Cmd {
	command := exec.Command(os.Args[0], "-test.run=^TestTheKeyboard$")
	command.Env = append(os.Environ(), partVariable+"="+part)
	return command
}

// playRelay is this program.
func playRelay(t *testing.T) {
	relay, ctx := NewRelay(t.Context())
	defer relay.Stop()
	command := play("command")
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	require.NoError(t, relay.Start(ctx, command))
	require.NoError(t, relay.Wait(command))
}

// playCommand tells each signal, until one ends it.
func playCommand() {
	received := make(chan os.Signal, 16)
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM)
	fmt.Println("ready")
	for one := range received {
		fmt.Println(one)
		if one == syscall.SIGTERM {
			os.Exit(0)
		}
	}
}

// openTerminal makes a terminal and the keyboard that goes with it.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = keyboard.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = terminal.Close() })
	return keyboard, terminal
}
