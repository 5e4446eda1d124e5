// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy is a TCP proxy in front of a server that speaks HTTP: it lets the server do
// what was asked and keeps the answer.
type proxy struct {
	url    string
	server string

	mu sync.Mutex
	// trap is how the request begins whose answer is kept; empty for none.
	trap string
	hit  chan struct{}
	down bool
	open map[net.Conn]bool
}

// newProxy stands in front of the server at that address.
func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{
		url: "http://" + listener.Addr().String(), server: strings.TrimPrefix(server, "http://"),
		open: map[net.Conn]bool{},
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		all.Wait()
	})
	return p
}

// keepAnswer has the answer to the next request that begins so kept. The channel is
// closed when the server has answered; the proxy then passes nothing until heal.
func (p *proxy) keepAnswer(request string) (answered <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap, p.hit = request, make(chan struct{})
	return p.hit
}

// heal lets everything pass again, over new connections.
func (p *proxy) heal() {
	p.cut()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// cut breaks all connections and lets none come.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for conn := range p.open {
		_ = conn.Close()
	}
}

// admit keeps a connection's ends to be closed, unless the proxy is down.
func (p *proxy) admit(ends ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return false
	}
	for _, end := range ends {
		p.open[end] = true
	}
	return true
}

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	if !p.admit(client, server) {
		return
	}
	trapped := make(chan chan struct{}, 1)
	var back sync.WaitGroup
	back.Go(func() {
		p.answers(client, server, trapped)
		_ = client.Close()
	})
	p.requests(server, client, trapped)
	_ = server.Close()
	back.Wait()
}

// requests passes what the client asks. HTTP/1.1 asks one thing at a time: what the
// server says after a trapped request is the answer to it.
func (p *proxy) requests(server io.Writer, client io.Reader, trapped chan<- chan struct{}) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		p.mu.Lock()
		if p.trap != "" && bytes.HasPrefix(buffer[:n], []byte(p.trap)) {
			p.trap = ""
			trapped <- p.hit
		}
		p.mu.Unlock()
		if _, failed := server.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

func (p *proxy) answers(client io.Writer, server io.Reader, trapped <-chan chan struct{}) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		select {
		case hit := <-trapped:
			p.mu.Lock()
			p.down = true // for whoever looks into it at once
			p.mu.Unlock()
			close(hit)
			_, _ = io.Copy(io.Discard, server) // until somebody cuts it
			return
		default:
		}
		if _, failed := client.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}
