// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
)

// A token id is the UTC hour of its issue and a suffix of 96 bits: the beginning of
// the token's SHA-256, so that a token leads to its record without an index; or
// random, where the platform wants a name before there is a token.
const (
	hourLayout   = "2006010215"
	dayLayout    = "20060102"
	suffixDigits = 24
)

var idPattern = regexp.MustCompile(`^[0-9]{10}-[0-9a-f]{24}$`)

// IDFor is the id of a token that is known.
func IDFor(token string, issued time.Time) string {
	return issued.UTC().Format(hourLayout) + "-" + hashSuffix(token)
}

// NewID is the id of a token that is yet to be made.
func NewID(random io.Reader, issued time.Time) (string, error) {
	b := make([]byte, suffixDigits/2)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", fmt.Errorf("ledger: random id: %w", err)
	}
	return issued.UTC().Format(hourLayout) + "-" + hex.EncodeToString(b), nil
}

// ValidID reports whether s has the form of a token id.
func ValidID(s string) bool { return idPattern.MatchString(s) }

func hashSuffix(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])[:suffixDigits]
}

func split(id string) (hour, suffix string) { return id[:10], id[11:] }

// shardOf is the folder of a live record: the hour of issue and one of sixteen.
func shardOf(id string) string {
	hour, suffix := split(id)
	return hour + "/" + suffix[:1] + "/"
}

func liveKey(id string) string {
	_, suffix := split(id)
	return store.Live + shardOf(id) + suffix
}

func closedKey(day, suffix string) string {
	return store.Closed + day + "/" + suffix[:2] + "/" + suffix
}

func issuedDay(id string) string { return id[:8] }

// indexOf is the name under which Hashes has a record, where it has it.
func indexOf(r *Record) string {
	sum, err := base64.StdEncoding.DecodeString(r.TokenSHA256)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(sum)[:suffixDigits]
}
