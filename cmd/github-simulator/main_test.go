// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// demo runs the command in this process and reads the line that it prints.
func demo(t *testing.T, args ...string) (line started, stdin io.Closer, done <-chan error, stop context.CancelFunc) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	in, stdin := io.Pipe()
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, args, in, stdout)
		_ = stdout.Close()
	}()
	t.Cleanup(func() {
		stop()
		_ = stdin.Close()
	})
	text, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &line))
	return line, stdin, ended, stop
}

func ended(t *testing.T, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		require.Fail(t, "it did not stop")
	}
}

// mint makes a token as somebody would who has only the line.
func mint(t *testing.T, client *http.Client, line started) string {
	t.Helper()
	pem, err := os.ReadFile(line.PrivateKeyFile)
	require.NoError(t, err)
	key, err := jwt.ParseRSAPrivateKeyFromPEM(pem)
	require.NoError(t, err)
	claims := jwt.MapClaims{"iss": line.ClientID, "iat": time.Now().Unix() - 60, "exp": time.Now().Unix() + 300}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(key)
	require.NoError(t, err)
	r, err := http.NewRequest("POST", fmt.Sprintf("%s/app/installations/%d/access_tokens", line.URL, line.InstallationID), nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+signed)
	var answer struct{ Token string }
	require.Equal(t, http.StatusCreated, do(t, client, r, &answer))
	return answer.Token
}

func do(t *testing.T, client *http.Client, r *http.Request, into any) int {
	t.Helper()
	answer, err := client.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	if into != nil {
		require.NoError(t, json.NewDecoder(answer.Body).Decode(into))
	}
	return answer.StatusCode
}

func TestDemonstration(t *testing.T) {
	dir := t.TempDir()
	line, _, done, stop := demo(t, "-tls", "-long-tokens", "-dir", dir, "-organization", "example", "-repositories", "5")
	require.Equal(t, "example", line.Organization)
	require.Equal(t, []string{"web", "api", "infra", "service-4", "service-5"}, line.Repositories)
	info, err := os.Stat(line.PrivateKeyFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	ca, err := os.ReadFile(line.CACertFile)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(ca))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}

	token := mint(t, client, line)
	require.Greater(t, len(token), 400)
	require.Equal(t, 1, live(t, client, line))
	r, err := http.NewRequest("DELETE", line.URL+"/installation/token", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	require.Equal(t, http.StatusNoContent, do(t, client, r, nil))
	require.Zero(t, live(t, client, line))
	stop()
	ended(t, done)
}

func live(t *testing.T, client *http.Client, line started) int {
	t.Helper()
	r, err := http.NewRequest("GET", line.URL+"/_simulator/tokens", nil)
	require.NoError(t, err)
	var shown struct{ Live int }
	require.Equal(t, http.StatusOK, do(t, client, r, &shown))
	return shown.Live
}

func TestStopsWithStdinAndLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	line, stdin, done, _ := demo(t, "-until-eof", "-repositories", "1")
	require.Equal(t, []string{"web"}, line.Repositories)
	require.FileExists(t, line.PrivateKeyFile)
	require.NoError(t, stdin.Close())
	ended(t, done)
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	require.Empty(t, left)
	address, err := url.Parse(line.URL)
	require.NoError(t, err)
	_, err = net.Dial("tcp", address.Host)
	require.Error(t, err)
}

func TestStopsWithSIGTERM(t *testing.T) {
	program := filepath.Join(t.TempDir(), "github-simulator")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		cmd := exec.Command(program)
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = bufio.NewReader(stdout).ReadBytes('\n')
		require.NoError(t, err)
		require.NoError(t, cmd.Process.Signal(signal))
		require.NoError(t, cmd.Wait(), "exit status 0")
	}
}

func TestWrongArguments(t *testing.T) {
	for args, says := range map[string]string{
		"-repositories 0":    "at least 1",
		"surplus":            `unexpected argument "surplus"`,
		"-listen nowhere:no": "listen",
		"-dir /dev/null/x":   "not a directory",
	} {
		require.ErrorContains(t, run(t.Context(), strings.Fields(args), nil, io.Discard), says, args)
	}
	require.ErrorIs(t, run(t.Context(), []string{"-help"}, nil, io.Discard), flag.ErrHelp)
}
