// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package mask blots secrets out of a stream.
package mask

import (
	"bytes"
	"io"
	"sync"
)

// blot stands where a secret was.
const blot = "[masked]"

// Writer passes on what is written to it, without the secrets, however the stream
// is cut into writes. It holds back only what may be the beginning of a secret.
type Writer struct {
	mu      sync.Mutex
	out     io.Writer
	secrets [][]byte
	held    []byte
}

// New masks the secrets on the way to out.
func New(out io.Writer, secrets ...string) *Writer {
	w := &Writer{out: out}
	for _, secret := range secrets {
		if secret != "" {
			w.secrets = append(w.secrets, []byte(secret))
		}
	}
	return w
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = append(w.held, p...)
	for _, secret := range w.secrets {
		w.held = bytes.ReplaceAll(w.held, secret, []byte(blot))
	}
	safe := len(w.held) - w.tail()
	if _, err := w.out.Write(w.held[:safe]); err != nil {
		return 0, err
	}
	w.held = append(w.held[:0], w.held[safe:]...)
	return len(p), nil
}

// tail is the length of the longest end of what is held that begins a secret.
func (w *Writer) tail() int {
	longest := 0
	for _, secret := range w.secrets {
		for n := min(len(secret)-1, len(w.held)); n > longest; n-- {
			if bytes.HasSuffix(w.held, secret[:n]) {
				longest = n
				break
			}
		}
	}
	return longest
}

// Flush passes on what was held back: the stream ended without completing a secret.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.out.Write(w.held)
	w.held = nil
	return err
}
