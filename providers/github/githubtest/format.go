// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"strings"
	"time"
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// shortToken makes a token of the classic form: ghs_, 30 random characters, and
// their CRC32 in base 62, which is how secret scanners tell it from look-alikes.
func shortToken() string {
	random := make([]byte, 30)
	_, _ = rand.Read(random) // never fails
	for i, b := range random {
		random[i] = base62[int(b)%len(base62)]
	}
	return "ghs_" + string(random) + checksum(random)
}

// checksum is the last six characters of a classic token.
func checksum(random []byte) string {
	sum := crc32.ChecksumIEEE(random)
	digits := [6]byte{}
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = base62[sum%62]
		sum /= 62
	}
	return string(digits[:])
}

// longToken makes a token of the new form, ghs_APPID_JWT. Its signature is random:
// nobody but GitHub can check it, and a real one costs a millisecond of CPU.
func longToken(appID, installationID int64, expires time.Time) string {
	signature := make([]byte, 256)
	_, _ = rand.Read(signature) // never fails
	segments := []string{
		segment([]byte(`{"alg":"RS256","typ":"JWT"}`)),
		segment(fmt.Appendf(nil, `{"iss":"github","installation_id":%d,"exp":%d,"jti":%q}`, installationID, expires.Unix(), rand.Text())),
		segment(signature),
	}
	return fmt.Sprintf("ghs_%d_%s", appID, strings.Join(segments, "."))
}

func segment(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
