// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// profilePlan is the cells that profiles are taken of.
func profilePlan() plan {
	p := quickPlan()
	p.Callers, p.Latencies = []int{64}, []time.Duration{0}
	p.FloorSlice, p.Slice = 2*time.Second, 8*time.Second
	return p
}

// profile takes CPU profiles of plugin and Vault during a cell, where profiles are
// wanted. The returned function waits for them.
func (b *bench) profile(ctx context.Context, s *stand, c *Cell) (wait func()) {
	if b.profiles == "" {
		return func() {}
	}
	seconds := int(b.plan.Slice/time.Second) - 1
	name := fmt.Sprintf("%d-repositories.pprof", c.Repositories)
	var both sync.WaitGroup
	for who, url := range map[string]string{
		"plugin": "http://" + profilesAddress + "/debug/pprof/profile",
		"vault":  s.base + "sys/pprof/profile",
	} {
		both.Go(func() {
			file := filepath.Join(b.profiles, who+"-"+name)
			if err := s.save(ctx, fmt.Sprintf("%s?seconds=%d", url, seconds), file); err != nil {
				b.say("profile of %s: %v", who, err)
			}
		})
	}
	return both.Wait
}

func (s *stand) save(ctx context.Context, url, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("X-Vault-Token", s.token)
	answer, err := s.http.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", answer.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, answer.Body)
	return err
}
