// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Leader is the node that leads now, nil when none does.
func (v *Vault) Leader(ctx context.Context) *Node {
	for _, node := range v.Nodes {
		if !node.Running() {
			continue
		}
		if status, err := node.Health(ctx); err == nil && status == http.StatusOK {
			return node
		}
	}
	return nil
}

// WaitLeader waits for a leader that is not the given node; nil means any.
func (v *Vault) WaitLeader(ctx context.Context, not *Node) (*Node, error) {
	var leader *Node
	err := poll(ctx, "a leader", func() (bool, error) {
		leader = v.Leader(ctx)
		return leader != nil && leader != not, nil
	})
	if err != nil {
		return nil, err
	}
	return leader, nil
}

// StepDown makes the leader give up and returns the one that follows it. A node
// that stepped down does not lead again for ten seconds.
func (v *Vault) StepDown(ctx context.Context) (*Node, error) {
	if len(v.Nodes) == 1 {
		return nil, errors.New("step down: nobody else could lead")
	}
	leader, err := v.WaitLeader(ctx, nil)
	if err != nil {
		return nil, err
	}
	client, err := leader.Client()
	if err != nil {
		return nil, err
	}
	if err := client.Sys().StepDownWithContext(ctx); err != nil {
		return nil, fmt.Errorf("%s: step down: %w", leader.Name, err)
	}
	return v.WaitLeader(ctx, leader)
}

// promoteQuickly lets a node that has joined vote after a blink instead of ten
// seconds.
func (v *Vault) promoteQuickly(ctx context.Context) error {
	answer, err := v.Root().Write(ctx, "sys/storage/raft/autopilot/configuration", map[string]any{
		"server_stabilization_time": "100ms",
	})
	if err != nil {
		return fmt.Errorf("autopilot: %w", err)
	}
	return answer.Failure()
}

// waitVoters waits until each node has a vote and knows the leader: before
// that, losing one could cost the quorum.
func (v *Vault) waitVoters(ctx context.Context) error {
	err := poll(ctx, fmt.Sprintf("%d voters", len(v.Nodes)), func() (bool, error) {
		answer, err := v.Root().Read(ctx, "sys/storage/raft/configuration")
		return err == nil && voters(answer) == len(v.Nodes), nil
	})
	if err != nil {
		return err
	}
	for _, node := range v.Nodes {
		err := poll(ctx, node.Name+" to know the leader", func() (bool, error) {
			answer, err := node.As(v.RootToken()).Read(ctx, "sys/leader")
			return err == nil && answer.Raw["leader_address"] == v.Nodes[0].Address, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func voters(answer Answer) int {
	config, _ := answer.Data["config"].(map[string]any)
	servers, _ := config["servers"].([]any)
	count := 0
	for _, entry := range servers {
		if server, _ := entry.(map[string]any); server["voter"] == true {
			count++
		}
	}
	return count
}
