// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/vault/api"
)

// stopTimeout is how long a server that was asked to end may take before it is
// killed.
const stopTimeout = 10 * time.Second

// Node is one server of a Vault.
type Node struct {
	// Name is the raft node ID.
	Name string
	// Address of the API, scheme and port included.
	Address string

	vault       *Vault
	clusterPort int
	env         []string

	mu   sync.Mutex
	proc *process
	// groups of servers that were killed alone: their plugins may live on.
	groups []int
}

// process is a server that was started. Its process group has its pid, and the
// plugins are in it.
type process struct {
	command *exec.Cmd
	ended   chan struct{}
}

// Start starts the server on the node's data and returns when it answers; it is
// sealed then.
func (n *Node) Start(ctx context.Context) error {
	if n.Running() {
		return fmt.Errorf("%s: runs already", n.Name)
	}
	log, err := os.OpenFile(n.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Name, err)
	}
	defer log.Close()
	command := exec.Command(n.vault.binary, "server", "-config", n.path("vault.hcl"))
	command.Env = n.env
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = ownGroup()
	if err := command.Start(); err != nil {
		return fmt.Errorf("%s: %w", n.Name, err)
	}
	proc := &process{command: command, ended: make(chan struct{})}
	go func() {
		// How it ended is in its log; that it ended is what matters here.
		_ = command.Wait()
		close(proc.ended)
	}()
	n.mu.Lock()
	n.proc = proc
	n.mu.Unlock()
	return n.waitAnswer(ctx, proc)
}

func (n *Node) waitAnswer(ctx context.Context, proc *process) error {
	return poll(ctx, n.Name+" to answer", func() (bool, error) {
		select {
		case <-proc.ended:
			return false, fmt.Errorf("%s: vault ended: %s", n.Name, proc.command.ProcessState)
		default:
		}
		_, err := n.Health(ctx)
		return err == nil, nil
	})
}

func (n *Node) process() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proc
}

// Running says whether the server's process is there.
func (n *Node) Running() bool {
	proc := n.process()
	if proc == nil {
		return false
	}
	select {
	case <-proc.ended:
		return false
	default:
		return true
	}
}

// PID of the server, 0 when it does not run.
func (n *Node) PID() int {
	if !n.Running() {
		return 0
	}
	return n.process().command.Process.Pid
}

// Stop ends the server as an operator would, with SIGTERM. The data stays.
func (n *Node) Stop() error {
	if !n.Running() {
		return nil
	}
	proc := n.process()
	if err := proc.command.Process.Signal(syscall.SIGTERM); err != nil && n.Running() {
		return fmt.Errorf("%s: stop: %w", n.Name, err)
	}
	select {
	case <-proc.ended:
	case <-time.After(stopTimeout):
	}
	return n.Kill()
}

// Kill ends the server and its plugins at once, as a power cut does. The data
// stays. A node that does not run is none the worse for it.
func (n *Node) Kill() error {
	n.mu.Lock()
	proc, groups := n.proc, n.groups
	n.proc, n.groups = nil, nil
	n.mu.Unlock()
	if proc != nil {
		groups = append(groups, proc.command.Process.Pid)
	}
	for _, group := range groups {
		if err := killGroup(group); err != nil {
			return fmt.Errorf("%s: kill: %w", n.Name, err)
		}
	}
	if proc != nil {
		<-proc.ended
	}
	return nil
}

// KillServer kills the server alone, as an out-of-memory killer does: its
// plugins are orphans that live on until the node's next Stop or Kill, or Close.
func (n *Node) KillServer() error {
	if !n.Running() {
		return nil
	}
	n.mu.Lock()
	proc := n.proc
	n.proc = nil
	n.groups = append(n.groups, proc.command.Process.Pid)
	n.mu.Unlock()
	if err := proc.command.Process.Kill(); err != nil {
		return fmt.Errorf("%s: kill server: %w", n.Name, err)
	}
	<-proc.ended
	return nil
}

// Restart stops the server, starts it on the same data and unseals it.
func (n *Node) Restart(ctx context.Context) error {
	if err := n.Stop(); err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	return n.Unseal(ctx)
}

// Client is Vault's own API client for this node, with the root token. It does
// not retry, so that a failure is seen.
func (n *Node) Client() (*api.Client, error) {
	client, err := api.NewClient(&api.Config{Address: n.Address, HttpClient: n.vault.http})
	if err != nil {
		return nil, fmt.Errorf("%s: client: %w", n.Name, err)
	}
	client.SetMaxRetries(0)
	client.ClearNamespace()
	client.SetToken(n.vault.RootToken())
	return client, nil
}

// LogPath is the file that holds what the server and its plugins have logged,
// over all its restarts.
func (n *Node) LogPath() string { return n.path("vault.log") }

// LogTail is the end of each node's log, for whoever looks into a failure.
func (v *Vault) LogTail(lines int) string {
	var b strings.Builder
	for _, node := range v.Nodes {
		text, err := os.ReadFile(node.LogPath())
		if err != nil {
			continue
		}
		all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
		tail := all[max(0, len(all)-lines):]
		fmt.Fprintf(&b, "--- %s: last %d of %d lines\n%s\n", node.Name, len(tail), len(all), strings.Join(tail, "\n"))
	}
	return b.String()
}
