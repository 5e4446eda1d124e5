// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package scripts_test runs the scripts that no other test runs.
package scripts_test

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
)

const (
	releaseVersion = "v9.8.7"
	releaseEpoch   = "1700000000"
)

// checkout copies the source, so that a build sees it at another path.
func checkout(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(from, path)
		switch {
		case err != nil:
			return err
		case name == ".git" || name == "bin" || name == "dist":
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), content, info.Mode())
	}))
}

// dist builds a release of one system in a checkout and returns its files.
func dist(t *testing.T, checkout string) map[string][]byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	command := exec.CommandContext(t.Context(), filepath.Join(checkout, "scripts", "dist.sh"))
	command.Env = append(os.Environ(), "DIST="+out, "VERSION="+releaseVersion, "SOURCE_DATE_EPOCH="+releaseEpoch,
		"PLATFORMS="+runtime.GOOS+"/"+runtime.GOARCH)
	said, err := command.CombinedOutput()
	require.NoError(t, err, string(said))
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	files := map[string][]byte{}
	for _, entry := range entries {
		files[entry.Name()], err = os.ReadFile(filepath.Join(out, entry.Name()))
		require.NoError(t, err)
	}
	return files
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func TestDist(t *testing.T) {
	root, err := world.Root()
	require.NoError(t, err)
	here, there := filepath.Join(t.TempDir(), "here"), filepath.Join(t.TempDir(), "some", "where", "else")
	checkout(t, root, here)
	checkout(t, here, there)
	release := dist(t, here)

	system := "_" + releaseVersion + "_" + runtime.GOOS + "_" + runtime.GOARCH
	programs := []string{"vault-plugin-secrets-ci" + system, "citoken" + system}
	names := []string{"LICENSE", "SHA256SUMS"}
	for _, program := range programs {
		names = append(names, program, program+".cdx.json")
	}
	for name := range release {
		require.Contains(t, names, name)
	}
	require.Len(t, release, len(names))

	t.Run("another build elsewhere gives the same bytes", func(t *testing.T) {
		again := dist(t, there)
		for name, content := range release {
			require.Equal(t, digest(content), digest(again[name]), name)
		}
	})

	t.Run("SHA256SUMS are those of the files", func(t *testing.T) {
		lines := strings.Split(strings.TrimSpace(string(release["SHA256SUMS"])), "\n")
		require.Len(t, lines, len(names)-1)
		for _, line := range lines {
			sum, name, _ := strings.Cut(line, "  ")
			require.Equal(t, digest(release[name]), sum, name)
		}
	})

	for _, program := range programs {
		t.Run(program, func(t *testing.T) {
			require.NotContains(t, string(release[program]), here, "the path of the build")
			requireSBOM(t, program, release[program], release[program+".cdx.json"])
		})
	}
	require.Contains(t, string(release[programs[0]]), releaseVersion)
}

// requireSBOM holds a bill of materials against the program itself.
func requireSBOM(t *testing.T, name string, program, sbom []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, program, 0o700))
	build, err := buildinfo.ReadFile(file)
	require.NoError(t, err)

	var document struct {
		BOMFormat, SpecVersion string
		Metadata               struct {
			Timestamp string
			Component struct {
				Name, Version, PURL string
				Hashes              []struct{ Alg, Content string }
			}
		}
		Components []struct{ Name, Version, PURL string }
	}
	require.NoError(t, json.Unmarshal(sbom, &document))
	require.Equal(t, "CycloneDX 1.6", document.BOMFormat+" "+document.SpecVersion)
	require.Equal(t, "2023-11-14T22:13:20Z", document.Metadata.Timestamp)
	require.Equal(t, name, document.Metadata.Component.Name)
	require.Equal(t, "pkg:golang/"+build.Path+"@"+releaseVersion, document.Metadata.Component.PURL)
	require.Equal(t, digest(program), document.Metadata.Component.Hashes[0].Content)
	listed := map[string]string{}
	for _, component := range document.Components {
		listed[component.Name] = component.Version
	}
	require.Len(t, listed, len(build.Deps)+1)
	require.Equal(t, strings.TrimPrefix(build.GoVersion, "go"), listed["std"])
	for _, dep := range build.Deps {
		require.Equal(t, dep.Version, listed[dep.Path])
	}
}

func TestDistRefusesWhatIsNoVersion(t *testing.T) {
	command := exec.CommandContext(t.Context(), "./dist.sh")
	command.Env = append(os.Environ(), "VERSION=1.2", "DIST="+filepath.Join(t.TempDir(), "out"))
	said, err := command.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(said), "'1.2' is not vX.Y.Z")
}
