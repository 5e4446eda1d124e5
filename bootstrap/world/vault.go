// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package world runs a real Vault, built from its own sources, as processes of
// this machine: one node or a raft cluster, with a plugin directory, a file
// audit device and everything a test, a demo or a benchmark does to a Vault,
// kill -9 included.
//
// Nothing here needs a test: functions take a context and return errors. The
// package worldtest puts a testing.TB on top.
package world

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// pollInterval is how often readiness is looked for. It is short because
	// most waits end after a few tens of milliseconds.
	pollInterval = 20 * time.Millisecond
	// requestTimeout bounds a request whose context has no deadline. Vault's
	// own limit is 90 s.
	requestTimeout = 2 * time.Minute
)

// Options say what Vault to run. The zero value is one node without TLS.
type Options struct {
	// Binary to run; empty means FindVault.
	Binary string
	// Nodes of the raft cluster; 0 means 1.
	Nodes int
	// Env is added to the environment of each server, KEY=value. Plugins
	// inherit it. VAULT_* of the calling process is not passed on.
	Env []string
	// LogLevel of Vault and its plugins; empty means info.
	LogLevel string
	// TLS makes the listeners speak TLS, with a certificate authority of
	// their own that the clients trust.
	TLS bool
	// NoAudit leaves the file audit device out.
	NoAudit bool
	// ExtraConfig is HCL that goes to the end of each server's configuration,
	// for example `raw_storage_endpoint = true`.
	ExtraConfig string
}

// Vault is a running cluster, initialised with one unseal key. Its methods are
// for one goroutine, those of its callers and clients for many.
type Vault struct {
	// Nodes in the order in which they were started; the first is the leader
	// until something is done to it.
	Nodes []*Node
	// PluginDir is the plugin_directory of all nodes.
	PluginDir string
	// AuditPath is the file audit device's file: one for all nodes, as only
	// the leader writes. Empty with NoAudit.
	AuditPath string

	binary string
	dir    string
	caFile string
	http   *http.Client

	// keys guards what initialising and restoring a snapshot set.
	keys      sync.RWMutex
	unsealKey string
	rootToken string
}

// StartVault starts the servers, initialises and unseals them, enables the
// audit device and returns when the leader serves and each node votes. What it
// has started when it fails, it has stopped. The context bounds the start, not
// the life of what is started: that ends with Close.
func StartVault(ctx context.Context, options Options) (*Vault, error) {
	vault, err := newVault(options)
	if err != nil {
		return nil, fmt.Errorf("start vault: %w", err)
	}
	if err := vault.bringUp(ctx, options); err != nil {
		err = fmt.Errorf("start vault: %w\n%s", err, vault.LogTail(40))
		return nil, errors.Join(err, vault.Close())
	}
	return vault, nil
}

// newVault lays out directories, addresses and configuration; no process runs.
func newVault(options Options) (*Vault, error) {
	binary := options.Binary
	if binary == "" {
		found, err := FindVault()
		if err != nil {
			return nil, err
		}
		binary = found
	}
	// Not t.TempDir: the sockets of plugins live below it, and the path of a
	// Unix socket may not be longer than about a hundred bytes.
	dir, err := os.MkdirTemp("", "world-")
	if err != nil {
		return nil, err
	}
	vault := &Vault{binary: binary, dir: dir, PluginDir: filepath.Join(dir, "plugins")}
	if !options.NoAudit {
		vault.AuditPath = filepath.Join(dir, "audit", "audit.log")
	}
	if err := vault.layOut(options); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return vault, nil
}

func (v *Vault) layOut(options Options) error {
	for _, name := range []string{"plugins", "audit", "home", "tmp"} {
		if err := os.Mkdir(filepath.Join(v.dir, name), 0o700); err != nil {
			return err
		}
	}
	// Vault compares the plugin directory with a path free of symbolic links.
	resolved, err := filepath.EvalSymlinks(v.PluginDir)
	if err != nil {
		return err
	}
	v.PluginDir = resolved

	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	v.http = &http.Client{Transport: transport, Timeout: requestTimeout}
	var identity *tlsFiles
	if options.TLS {
		identity, err = writeTLS(v.dir, time.Now())
		if err != nil {
			return err
		}
		v.caFile = identity.ca
		transport.TLSClientConfig = identity.client
	}
	return v.addNodes(options, identity)
}

func (v *Vault) addNodes(options Options, identity *tlsFiles) error {
	count := max(options.Nodes, 1)
	ports, err := freePorts(2 * count)
	if err != nil {
		return err
	}
	scheme := "http"
	if identity != nil {
		scheme = "https"
	}
	for i := range count {
		node := &Node{
			Name:        fmt.Sprintf("node%d", i),
			Address:     fmt.Sprintf("%s://127.0.0.1:%d", scheme, ports[2*i]),
			vault:       v,
			clusterPort: ports[2*i+1],
			env:         v.environment(options.Env),
		}
		if err := node.writeConfig(options, identity); err != nil {
			return err
		}
		v.Nodes = append(v.Nodes, node)
	}
	return nil
}

func (v *Vault) bringUp(ctx context.Context, options Options) error {
	first := v.Nodes[0]
	if err := first.Start(ctx); err != nil {
		return err
	}
	if err := v.initialise(ctx, first); err != nil {
		return err
	}
	if err := first.Unseal(ctx); err != nil {
		return err
	}
	if _, err := v.WaitLeader(ctx, nil); err != nil {
		return err
	}
	if !options.NoAudit {
		if err := v.enableAudit(ctx); err != nil {
			return err
		}
	}
	if len(v.Nodes) == 1 {
		return nil
	}
	return v.joinRest(ctx)
}

// joinRest starts the other nodes. They find the first by retry_join, which
// asks at once and then every two seconds: so they start after it serves.
func (v *Vault) joinRest(ctx context.Context) error {
	if err := v.promoteQuickly(ctx); err != nil {
		return err
	}
	group, groupContext := errgroup.WithContext(ctx)
	for _, node := range v.Nodes[1:] {
		group.Go(func() error {
			if err := node.Start(groupContext); err != nil {
				return err
			}
			return node.Unseal(groupContext)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return v.waitVoters(ctx)
}

// Restart stops all nodes and starts them again on the same data, unsealed.
func (v *Vault) Restart(ctx context.Context) error {
	for _, node := range v.Nodes {
		if err := node.Stop(); err != nil {
			return err
		}
	}
	for _, node := range v.Nodes {
		if err := node.Start(ctx); err != nil {
			return err
		}
	}
	return v.Unseal(ctx)
}

// Close ends every process that was started for this Vault, the plugins
// included, and removes its files.
func (v *Vault) Close() error {
	var failures []error
	for _, node := range v.Nodes {
		failures = append(failures, node.Kill())
	}
	v.http.CloseIdleConnections()
	failures = append(failures, os.RemoveAll(v.dir))
	return errors.Join(failures...)
}

// RootToken is the token that initialising made, or the one of the cluster
// whose snapshot was restored.
func (v *Vault) RootToken() string {
	v.keys.RLock()
	defer v.keys.RUnlock()
	return v.rootToken
}

// running is the first node whose process runs; the first of all when none does,
// so that what is asked of it fails with a refused connection.
func (v *Vault) running() *Node {
	for _, node := range v.Nodes {
		if node.Running() {
			return node
		}
	}
	return v.Nodes[0]
}
