// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import "syscall"

// ownGroup puts the server and its plugins into a process group of their own,
// so that they can be killed together. Should this process die without having
// cleaned up, as a test that times out does, the kernel asks the server to end.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
