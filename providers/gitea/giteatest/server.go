// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package giteatest runs a real Gitea for tests and demonstrations, and holds a
// simulator of the one thing that Gitea does not have: Forgejo's tokens that are
// limited to repositories.
//
// A Server is a process of its own with a database of its own in a temporary
// folder; nothing of it stays when it is closed. It needs git on PATH, and a
// Gitea: bin/gitea of this repository, which `make gitea` builds, or else the one
// on PATH.
package giteatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Server is a running Gitea.
type Server struct {
	// URL is the server's address without a last slash.
	URL string
	// Admin and Password are those of a site administrator.
	Admin    string
	Password string

	dir    string
	web    *exec.Cmd
	log    *logFile
	exited chan struct{}
	client *http.Client
}

const (
	admin = "root-ci"
	// stopTime is how long a process may take to end by itself.
	stopTime = 10 * time.Second
)

// Start starts a Gitea and waits until it answers. The process lives until Close,
// also when ctx ends; ctx bounds the start alone.
func Start(ctx context.Context) (*Server, error) {
	binary, err := locate()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "giteatest-")
	if err != nil {
		return nil, fmt.Errorf("giteatest: temporary folder: %w", err)
	}
	s := &Server{Admin: admin, Password: random(), dir: dir, client: &http.Client{Transport: &http.Transport{}}}
	if err := s.start(ctx, binary); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, b binary) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	s.URL = fmt.Sprintf("http://127.0.0.1:%d", port)
	if err := writeConfig(s.dir, port, b.assets); err != nil {
		return err
	}
	if err := s.run(ctx, b, "migrate"); err != nil {
		return err
	}
	err = s.run(ctx, b, "admin", "user", "create", "--admin", "--must-change-password=false",
		"--username", s.Admin, "--password", s.Password, "--email", s.Admin+"@example.com")
	if err != nil {
		return err
	}
	if s.log, err = createLog(filepath.Join(s.dir, "gitea.log")); err != nil {
		return err
	}
	s.web = s.command(context.WithoutCancel(ctx), b, "web")
	s.web.Stdout, s.web.Stderr = s.log.file, s.log.file
	if err := s.web.Start(); err != nil {
		return fmt.Errorf("giteatest: starting gitea: %w", err)
	}
	s.exited = make(chan struct{})
	go func() {
		_ = s.web.Wait()
		close(s.exited)
	}()
	return s.await(ctx)
}

// await returns when the server answers.
func (s *Server) await(ctx context.Context) error {
	for {
		err := s.API(ctx, http.MethodGet, "/version", nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("giteatest: gitea ended: %w\n%s", err, s.log.tail())
		case <-ctx.Done():
			return fmt.Errorf("giteatest: gitea does not answer: %w\n%s", err, s.log.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Close ends the process and removes everything that the server kept.
func (s *Server) Close() error {
	s.client.CloseIdleConnections()
	if s.exited != nil {
		_ = s.web.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.exited:
		case <-time.After(stopTime):
			_ = s.web.Process.Kill()
			<-s.exited
		}
	}
	if s.log != nil {
		s.log.close()
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("giteatest: removing %s: %w", s.dir, err)
	}
	return nil
}

// run carries out one of Gitea's commands to its end.
func (s *Server) run(ctx context.Context, b binary, args ...string) error {
	var output bytes.Buffer
	cmd := s.command(ctx, b, args...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("giteatest: gitea %s: %w\n%s", args[0], err, output.Bytes())
	}
	return nil
}

// command has an environment of its own: no setting of the caller's gets in.
func (s *Server) command(ctx context.Context, b binary, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.path, append(args, "--config", configPath(s.dir))...)
	cmd.Dir = s.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + s.dir,
		"TMPDIR=" + s.dir,
		// Gitea writes SSH keys below the home folder of a user of its own; in a
		// container there is only root, and SSH is off.
		"GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT=true",
	}
	return cmd
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("giteatest: free port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
