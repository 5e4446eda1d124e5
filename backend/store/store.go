// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/sdk/helper/compressutil"
	"github.com/hashicorp/vault/sdk/logical"
)

// Format is the version of every value that this build writes. A build reads its
// own format and those before it; it refuses a later one rather than misread it.
const Format = 1

// packAbove is the size in bytes from which a value is compressed: a page of the
// log, of which most is said again in every line, and hardly anything else. What is
// smaller is cheaper to write as it is.
const packAbove = 8 << 10

// What this build writes before and after a value.
var (
	head = fmt.Appendf(nil, `{"format":%d,"value":`, Format)
	tail = []byte("}")
)

// envelope lets the version be known before the value is understood.
type envelope struct {
	Format int             `json:"format"`
	Value  json.RawMessage `json:"value"`
}

// Put writes value as JSON under key.
func Put(ctx context.Context, s logical.Storage, key string, value any) error {
	entry, err := Encode(key, value)
	if err != nil {
		return err
	}
	if err := s.Put(ctx, entry); err != nil {
		return fmt.Errorf("store: write %s: %w", key, err)
	}
	return nil
}

// Encode makes the entry that Put writes.
func Encode(key string, value any) (*logical.StorageEntry, error) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("store: encode %s: %w", key, err)
	}
	// As an envelope would be encoded, without going through the value once more.
	wrapped := make([]byte, 0, len(head)+len(encoded)+len(tail))
	wrapped = append(append(append(wrapped, head...), encoded...), tail...)
	if len(wrapped) > packAbove {
		if wrapped, err = compressutil.Compress(wrapped, &compressutil.CompressionConfig{Type: compressutil.CompressionTypeSnappy}); err != nil {
			return nil, fmt.Errorf("store: compress %s: %w", key, err)
		}
	}
	return &logical.StorageEntry{Key: key, Value: wrapped}, nil
}

// Get reads the value under key into out and reports whether there was one.
func Get(ctx context.Context, s logical.Storage, key string, out any) (bool, error) {
	if cannotBe(key) {
		return false, nil
	}
	entry, err := s.Get(ctx, key)
	if err != nil {
		return false, fmt.Errorf("store: read %s: %w", key, err)
	}
	if entry == nil {
		return false, nil
	}
	if err := Decode(entry, out); err != nil {
		return false, err
	}
	return true, nil
}

// cannotBe reports whether Vault's storage refuses the key: a name that somebody
// wrote made it up, and nothing can be there.
func cannotBe(key string) bool { return strings.Contains(key, "..") }

// Decode reads the value of an entry into out.
func Decode(entry *logical.StorageEntry, out any) error {
	// What is compressed says so with its first byte, which never begins an envelope.
	text, plain, err := compressutil.Decompress(entry.Value)
	if err != nil {
		return fmt.Errorf("store: decompress %s: %w", entry.Key, err)
	}
	if plain {
		text = entry.Value
	}
	wrapped, err := unwrap(text)
	if err != nil {
		return fmt.Errorf("store: decode %s: %w", entry.Key, err)
	}
	if wrapped.Format < 1 || wrapped.Format > Format {
		return fmt.Errorf("store: %s has format %d, this version knows up to %d; go back to the version that wrote it", entry.Key, wrapped.Format, Format)
	}
	if err := json.Unmarshal(wrapped.Value, out); err != nil {
		return fmt.Errorf("store: decode %s: %w", entry.Key, err)
	}
	return nil
}

// unwrap reads an envelope. One that this build has written is known by its first
// bytes, and its value is read once only.
func unwrap(text []byte) (wrapped envelope, err error) {
	if value, ok := bytes.CutPrefix(text, head); ok {
		if value, ok = bytes.CutSuffix(value, tail); ok {
			return envelope{Format: Format, Value: value}, nil
		}
	}
	return wrapped, json.Unmarshal(text, &wrapped)
}

// Delete removes key; removing what is not there is no error.
func Delete(ctx context.Context, s logical.Storage, key string) error {
	if cannotBe(key) {
		return nil
	}
	if err := s.Delete(ctx, key); err != nil {
		return fmt.Errorf("store: delete %s: %w", key, err)
	}
	return nil
}

// List lists the names below a prefix; folders end with a slash.
func List(ctx context.Context, s logical.Storage, prefix string) ([]string, error) {
	names, err := s.List(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("store: list %s: %w", prefix, err)
	}
	return names, nil
}
