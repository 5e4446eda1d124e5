// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// longAnswer is a mint's answer for n repositories of the size that GitHub's have.
func longAnswer(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"token":"ghs_16C7e42F292c6912E7710c838347Ae178B4a","expires_at":"2030-07-11T22:14:10Z",` +
		`"permissions":{"contents":"read","metadata":"read"},"repository_selection":"selected","repositories":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"node_id":"R_kgDO","name":"repo-%d","full_name":"acme/repo-%d","private":true,`+
			`"owner":{"login":"acme","id":1,"name":"not this","site_admin":false},"description":"a \"quoted\" {brace} [bracket] \\"`, i, i, i)
		for j := range 75 {
			fmt.Fprintf(&b, `,"link_%d_url":"https://api.github.com/repos/acme/repo-%d/something{/sha}"`, j, i)
		}
		b.WriteString(`,"topics":["a","b"],"license":null,"forks":9}`)
	}
	b.WriteString(`],"single_file":"x"}` + "\n")
	return b.Bytes()
}

func TestGrantOfALongAnswer(t *testing.T) {
	text := longAnswer(500)
	require.True(t, json.Valid(text))
	for name, read := range map[string]func(*grant) error{
		"whole":          func(g *grant) error { return g.read(bytes.NewReader(text)) },
		"byte by byte":   func(g *grant) error { return g.read(iotest.OneByteReader(bytes.NewReader(text))) },
		"half at a time": func(g *grant) error { return g.read(iotest.HalfReader(bytes.NewReader(text))) },
	} {
		t.Run(name, func(t *testing.T) {
			var g grant
			require.NoError(t, read(&g))
			require.NoError(t, g.complete())
			require.Len(t, g.repositories, 500)
			require.Equal(t, "acme/repo-499", g.repositories[499])
			require.Equal(t, map[string]string{"contents": "read", "metadata": "read"}, g.permissions)
			require.Equal(t, "selected", g.selection)
			require.Equal(t, time.Date(2030, 7, 11, 22, 14, 10, 0, time.UTC), g.expiresAt)
		})
	}
}

// TestGrantOfAnyForm: the order of the members, white space and escapes do not
// matter.
func TestGrantOfAnyForm(t *testing.T) {
	text := " {\n \"extra\" : [ {\"a\":[1,-2.5e3,true,null]} , \"]\" ] ,\t\"repositories\" : [ { \"full_name\" : \"acme\\u002fweb\" , \"x\" : { } } , {\"name\":\"api\"} ] ," +
		` "permissions":{ } , "n" : 1 , "expires_at":"2030-01-01T00:00:00Z","token":"a\u0062c" } `
	var g grant
	require.NoError(t, g.read(strings.NewReader(text)))
	require.NoError(t, g.complete())
	require.Equal(t, "abc", g.secret)
	require.Equal(t, []string{"acme/web", "api"}, g.repositories)
}

func TestGrantOfEachHalfAnswer(t *testing.T) {
	text := bytes.TrimSpace(longAnswer(1))
	for n := range len(text) {
		var g grant
		require.Error(t, g.read(bytes.NewReader(text[:n])), "the first %d bytes are taken for the whole", n)
	}
}

// FuzzGrant: whatever arrives, reading ends, and what is read is what
// encoding/json reads where that understands it.
func FuzzGrant(f *testing.F) {
	f.Add(longAnswer(2))
	f.Add([]byte(`{"token":"x","expires_at":"2030-01-01T00:00:00Z","permissions":{"a":"read"},"repositories":[]}`))
	f.Add([]byte(`{"repositories":[{"full_name":"a/b"`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var g grant
		if g.read(bytes.NewReader(text)) != nil || !json.Valid(text) {
			return
		}
		var want map[string]json.RawMessage
		if json.Unmarshal(text, &want) != nil {
			t.Fatalf("taken for an object: %q", text)
		}
		var token string
		if raw, ok := want["token"]; ok && json.Unmarshal(raw, &token) == nil {
			require.Equal(t, token, g.secret)
		}
	})
}

// BenchmarkGrant reads the answer for 50 repositories, about 300 KB.
func BenchmarkGrant(b *testing.B) {
	text := longAnswer(50)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var g grant
		if err := g.read(bytes.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGrantEncodingJSON is the same with the standard library, for
// comparison.
func BenchmarkGrantEncodingJSON(b *testing.B) {
	text := longAnswer(50)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var g struct {
			Token        string
			Repositories []struct{ Full_name string }
		}
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&g); err != nil {
			b.Fatal(err)
		}
	}
}
