// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// repositoriesAtPlatform is how many repositories each simulated organisation has.
const repositoriesAtPlatform = 50

// mintRequest matches a request for a token in a simulator's faults.
const mintRequest = "POST /app/installations/*/access_tokens"

// simulator is a GitHub behind TLS in a process of its own, so that what it costs
// is not counted as Vault's or the plugin's.
type simulator struct {
	URL            string   `json:"url"`
	AppID          int64    `json:"app_id"`
	Organization   string   `json:"organization"`
	Repositories   []string `json:"repositories"`
	PrivateKeyFile string   `json:"private_key_file"`
	CACertFile     string   `json:"ca_cert_file"`

	key, ca string
	http    *http.Client
	process *exec.Cmd
	stdin   io.Closer
}

// startSimulator starts the program with that latency; it ends with stop, and with
// this process.
func startSimulator(program, dir string, latency time.Duration) (*simulator, error) {
	s := &simulator{process: exec.Command(program, "-tls", "-until-eof", "-dir", dir,
		"-latency", latency.String(), "-repositories", fmt.Sprint(repositoriesAtPlatform))}
	s.process.Stderr = os.Stderr
	// GitHub does not run on the caller's machine. This one does: what it takes of the
	// processors for collecting garbage is kept small.
	s.process.Env = append(os.Environ(), "GOGC=400")
	stdin, err := s.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.stdin = stdin
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("start the simulator: %w", err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, s)
	}
	if err == nil {
		err = s.trust()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the simulator: %w", err), s.stop())
	}
	return s, nil
}

// trust reads the App's key and the CA of the simulator.
func (s *simulator) trust() error {
	key, err := os.ReadFile(s.PrivateKeyFile)
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(s.CACertFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	s.key, s.ca = string(key), string(ca)
	s.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	return nil
}

func (s *simulator) stop() error {
	if s.http != nil {
		s.http.CloseIdleConnections()
	}
	return errors.Join(s.stdin.Close(), s.process.Wait())
}

// counts is what a simulator has seen.
type counts struct {
	Counts        map[string]int `json:"counts"`
	MaxConcurrent int            `json:"max_concurrent"`
	Live          int            `json:"live"`
}

// revocations are the requests to revoke a token.
func (c counts) revocations() int { return c.Counts["DELETE /installation/token"] }

func (s *simulator) counts(ctx context.Context) (seen counts, err error) {
	return seen, s.control(ctx, http.MethodGet, "counts", nil, &seen)
}

// hang holds every request for a token for an hour.
func (s *simulator) hang(ctx context.Context) error {
	return s.control(ctx, http.MethodPost, "fail", map[string]any{"match": mintRequest, "delay": "1h"}, nil)
}

func (s *simulator) control(ctx context.Context, method, name string, body, into any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, s.URL+"/_simulator/"+name, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	answer, err := s.http.Do(request)
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("simulator: %s: %s", name, answer.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

// simulators are those of one stand.
type simulators struct {
	program, dir string
	all          []*simulator
}

func (s *simulators) start(name string, latency time.Duration) (*simulator, error) {
	one, err := startSimulator(s.program, filepath.Join(s.dir, name), latency)
	if err == nil {
		s.all = append(s.all, one)
	}
	return one, err
}

func (s *simulators) stop() error {
	var failures []error
	for _, one := range s.all {
		failures = append(failures, one.stop())
	}
	s.all = nil
	return errors.Join(failures...)
}
