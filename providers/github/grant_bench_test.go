// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkReadGrant reads the answer to a token request; GitHub says 6 KB of each
// repository.
func BenchmarkReadGrant(b *testing.B) {
	for _, repositories := range []int{1, 50} {
		b.Run(fmt.Sprintf("%d repositories", repositories), func(b *testing.B) {
			answer := longAnswer(repositories)
			b.SetBytes(int64(len(answer)))
			b.ReportAllocs()
			for b.Loop() {
				var granted grant
				if err := granted.read(bytes.NewReader(answer)); err != nil || len(granted.repositories) != repositories {
					b.Fatal(err, len(granted.repositories))
				}
			}
		})
	}
}
