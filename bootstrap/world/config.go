// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// writeConfig writes the server's HCL. The listener's and the cluster's ports
// stay the same over restarts: raft knows its peers by address.
func (n *Node) writeConfig(options Options, identity *tlsFiles) error {
	if err := os.MkdirAll(n.path("data"), 0o700); err != nil {
		return err
	}
	level := options.LogLevel
	if level == "" {
		level = "info"
	}
	cluster := fmt.Sprintf("127.0.0.1:%d", n.clusterPort)
	var b strings.Builder
	fmt.Fprintf(&b, "disable_mlock = true\nui = false\n")
	fmt.Fprintf(&b, "log_level = %q\n", level)
	fmt.Fprintf(&b, "plugin_directory = %q\n", n.vault.PluginDir)
	fmt.Fprintf(&b, "api_addr = %q\n", n.Address)
	fmt.Fprintf(&b, "cluster_addr = %q\n", "https://"+cluster)
	fmt.Fprintf(&b, "listener \"tcp\" {\n")
	fmt.Fprintf(&b, "  address = %q\n  cluster_address = %q\n", n.hostPort(), cluster)
	if identity == nil {
		fmt.Fprintf(&b, "  tls_disable = true\n")
	} else {
		fmt.Fprintf(&b, "  tls_cert_file = %q\n  tls_key_file = %q\n", identity.cert, identity.key)
	}
	fmt.Fprintf(&b, "}\nstorage \"raft\" {\n")
	fmt.Fprintf(&b, "  path = %q\n  node_id = %q\n", n.path("data"), n.Name)
	// Vault's default of 5 is for busy machines of production: a dead leader
	// is noticed after 5 to 10 s instead of 1 to 2.
	fmt.Fprintf(&b, "  performance_multiplier = 1\n")
	fmt.Fprintf(&b, "  autopilot_update_interval = \"100ms\"\n  autopilot_reconcile_interval = \"200ms\"\n")
	if len(n.vault.Nodes) > 0 {
		fmt.Fprintf(&b, "  retry_join {\n    leader_api_addr = %q\n", n.vault.Nodes[0].Address)
		if identity != nil {
			fmt.Fprintf(&b, "    leader_ca_cert_file = %q\n", identity.ca)
		}
		fmt.Fprintf(&b, "  }\n")
	}
	fmt.Fprintf(&b, "}\n%s\n", options.ExtraConfig)
	return os.WriteFile(n.path("vault.hcl"), []byte(b.String()), 0o600)
}

func (n *Node) path(name string) string {
	return filepath.Join(n.vault.dir, n.Name, name)
}

func (n *Node) hostPort() string {
	_, address, _ := strings.Cut(n.Address, "://")
	return address
}

// environment of a server or a CLI: this process's without what would steer
// Vault, with a home and a temporary directory that Close removes, then what
// was asked for.
func (v *Vault) environment(extra []string) []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "VAULT_") && !strings.HasPrefix(entry, "BAO_") {
			env = append(env, entry)
		}
	}
	env = append(env, "HOME="+filepath.Join(v.dir, "home"), "TMPDIR="+filepath.Join(v.dir, "tmp"))
	return append(env, extra...)
}

// Ports come from below the range out of which the kernel serves outgoing
// connections: else one of those could take a node's port while it restarts.
const (
	firstPort = 20000
	portCount = 10000
	portTries = 1000
)

// freePorts finds ports of 127.0.0.1 on which nobody listens, all different.
func freePorts(count int) ([]int, error) {
	var ports []int
	for range portTries {
		if len(ports) == count {
			return ports, nil
		}
		port := firstPort + rand.IntN(portCount)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		// Held until all are found, so that none is found twice.
		defer listener.Close()
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("free ports: found %d of %d", len(ports), count)
}
