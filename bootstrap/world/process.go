// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// poll asks until the answer is yes, an error, or the context's end. What says
// in the error for what was waited.
func poll(ctx context.Context, what string, ask func() (bool, error)) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		done, err := ask()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-ticker.C:
		}
	}
}

// killGroup kills a process group of ours until it is empty. That it is empty
// already is no error.
func killGroup(group int) error {
	deadline := time.Now().Add(stopTimeout)
	for {
		err := syscall.Kill(-group, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return nil
		}
		if err != nil {
			return err
		}
		// Killed processes stay in the group until somebody reaps them: the
		// server's we do, orphaned plugins' is init, which may not exist in a
		// container. One that is only unreaped is dead enough.
		if alive, err := groupAlive(group); err == nil && !alive {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process group %d survives SIGKILL", group)
		}
		time.Sleep(pollInterval)
	}
}

// stat is what of /proc/PID/stat is of use.
type stat struct {
	pid, parent, group int
	zombie             bool
}

// processes lists what runs on this machine. It needs /proc.
func processes() ([]stat, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []stat
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue // It ended meanwhile.
		}
		// The name is in parentheses and may hold anything: read after it.
		line := string(text)
		fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
		if len(fields) < 3 {
			continue
		}
		parent, _ := strconv.Atoi(fields[1])
		group, _ := strconv.Atoi(fields[2])
		all = append(all, stat{pid: pid, parent: parent, group: group, zombie: fields[0] == "Z" || fields[0] == "X"})
	}
	return all, nil
}

func groupAlive(group int) (bool, error) {
	all, err := processes()
	if err != nil {
		return false, err
	}
	for _, process := range all {
		if process.group == group && !process.zombie {
			return true, nil
		}
	}
	return false, nil
}

// PluginPIDs are the plugin processes of this server, oldest pid first: all of
// a server's children are plugins. Linux only.
func (n *Node) PluginPIDs() ([]int, error) {
	server := n.PID()
	if server == 0 {
		return nil, fmt.Errorf("%s: plugin processes: the server does not run", n.Name)
	}
	all, err := processes()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, process := range all {
		if process.parent == server && !process.zombie {
			pids = append(pids, process.pid)
		}
	}
	return pids, nil
}

// KillPlugins kills the plugin processes of this server with SIGKILL, returns
// when they are gone, and says which they were. Vault starts them anew when it
// next needs them.
func (n *Node) KillPlugins(ctx context.Context) ([]int, error) {
	pids, err := n.PluginPIDs()
	if err != nil {
		return nil, err
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return nil, fmt.Errorf("%s: kill plugin: %w", n.Name, err)
		}
	}
	for _, pid := range pids {
		err := poll(ctx, fmt.Sprintf("plugin %d to end", pid), func() (bool, error) {
			return !Alive(pid), nil
		})
		if err != nil {
			return nil, err
		}
	}
	return pids, nil
}

// Alive says whether the process is there and not merely unreaped. Linux only.
func Alive(pid int) bool {
	all, err := processes()
	if err != nil {
		return false
	}
	for _, process := range all {
		if process.pid == pid {
			return !process.zombie
		}
	}
	return false
}
