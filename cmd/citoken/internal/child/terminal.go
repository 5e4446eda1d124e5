// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package child

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// typed tells whether a signal comes from the keyboard. The terminal sends it to all
// of its foreground group, so that the command has it already.
func typed(received syscall.Signal) bool {
	if received != syscall.SIGINT && received != syscall.SIGQUIT {
		return false
	}
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer terminal.Close()
	foreground, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}
