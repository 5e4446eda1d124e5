// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Snapshot is a copy of a cluster's storage, with the keys that open it.
type Snapshot struct {
	data      []byte
	unsealKey string
	rootToken string
}

// markerPolicy is written before a restore. The snapshot does not have it, so
// it is gone when the restore is done.
const markerPolicy = "world-restore-marker"

// Snapshot takes a raft snapshot.
func (v *Vault) Snapshot(ctx context.Context) (*Snapshot, error) {
	leader, err := v.WaitLeader(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	client, err := leader.Client()
	if err != nil {
		return nil, err
	}
	var data bytes.Buffer
	if err := client.Sys().RaftSnapshotWithContext(ctx, &data); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	v.keys.RLock()
	defer v.keys.RUnlock()
	return &Snapshot{data: data.Bytes(), unsealKey: v.unsealKey, rootToken: v.rootToken}, nil
}

// Restore puts the snapshot in place of the cluster's storage and returns when
// a leader serves it. A snapshot of another Vault needs force; this one has
// that one's unseal key and root token from then on. Vault itself pauses for
// five seconds in every restore.
func (v *Vault) Restore(ctx context.Context, snapshot *Snapshot, force bool) error {
	leader, err := v.WaitLeader(ctx, nil)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	client, err := leader.Client()
	if err != nil {
		return err
	}
	// Vault answers before it restores, and serves the old storage until then.
	if err := client.Sys().PutPolicyWithContext(ctx, markerPolicy, `path "none" { capabilities = ["deny"] }`); err != nil {
		return fmt.Errorf("restore: marker: %w", err)
	}
	if err := client.Sys().RaftSnapshotRestoreWithContext(ctx, bytes.NewReader(snapshot.data), force); err != nil {
		// It did not take place: the marker shall not stay.
		cleanup := client.Sys().DeletePolicyWithContext(ctx, markerPolicy)
		return errors.Join(fmt.Errorf("restore: %w", err), cleanup)
	}
	v.keys.Lock()
	v.unsealKey, v.rootToken = snapshot.unsealKey, snapshot.rootToken
	v.keys.Unlock()
	return v.waitRestored(ctx)
}

// waitRestored waits until the marker is gone. A node that cannot open what it
// was given seals itself, and is unsealed with the snapshot's key.
func (v *Vault) waitRestored(ctx context.Context) error {
	err := poll(ctx, "the snapshot to be restored", func() (bool, error) {
		for _, node := range v.Nodes {
			if status, err := node.Health(ctx); err == nil && status == http.StatusServiceUnavailable {
				if err := node.Unseal(ctx); err != nil {
					return false, err
				}
			}
		}
		leader := v.Leader(ctx)
		if leader == nil {
			return false, nil
		}
		answer, err := leader.As(v.RootToken()).Read(ctx, "sys/policies/acl/"+markerPolicy)
		return err == nil && answer.Status == http.StatusNotFound, nil
	})
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}
