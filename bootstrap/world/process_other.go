// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix && !linux

package world

import "syscall"

// ownGroup puts the server and its plugins into a process group of their own,
// so that they can be killed together.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
