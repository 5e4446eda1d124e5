// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/ci-identity/vault-plugin-secrets-ci/"

// goPackage is what `go list` tells of a package.
type goPackage struct {
	ImportPath string
	Imports    []string
}

// listPackages lists the module's packages with what each imports, tests left out.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "../...")
	output, err := list.Output()
	require.NoError(t, err)
	var packages []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(output)))
	for {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}

// layer is a package's place in the order cmd, backend, paths, backend/*, providers:
// an arrow may only point to a higher number. Packages outside of it have none.
func layer(importPath string) (int, bool) {
	name, ours := strings.CutPrefix(importPath, module)
	switch {
	case !ours:
		return 0, false
	case strings.HasPrefix(name, "cmd/"):
		return 1, true
	case name == "backend":
		return 2, true
	case name == "paths":
		return 3, true
	case strings.HasPrefix(name, "backend/"):
		return 4, true
	case name == "providers" || strings.HasPrefix(name, "providers/"):
		return 5, true
	}
	return 0, false
}

// program is the folder of the program that a package below cmd belongs to.
func program(importPath string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(importPath, module+"cmd/"), "/")
	return name
}

func TestArrowsPointOneWay(t *testing.T) {
	arrows := 0
	for _, p := range listPackages(t) {
		from, layered := layer(p.ImportPath)
		if !layered {
			continue
		}
		for _, imported := range p.Imports {
			to, layered := layer(imported)
			if !layered {
				require.NotContains(t, imported, module+"bootstrap", "%s is part of the engine and reaches into the test world", p.ImportPath)
				continue
			}
			arrows++
			within := from == to && (from >= 4 || program(p.ImportPath) == program(imported))
			require.True(t, from < to || within, "%s imports %s: arrows point cmd -> backend -> paths -> backend/* -> providers", p.ImportPath, imported)
		}
	}
	require.Greater(t, arrows, 50, "the arrows that were looked at")
}

func TestPlatformsDoNotKnowEachOther(t *testing.T) {
	shared := []string{"providers", "providers/fault", "providers/transport", "providers/redact"}
	for _, p := range listPackages(t) {
		name, ours := strings.CutPrefix(p.ImportPath, module+"providers/")
		if !ours || strings.Contains(name, "/") || name == "providertest" {
			continue
		}
		for _, imported := range p.Imports {
			if inner, ours := strings.CutPrefix(imported, module); ours {
				require.Contains(t, shared, inner, "%s imports %s", p.ImportPath, imported)
			}
		}
	}
}

func TestOnlyTheCompositionKnowsEachPlatform(t *testing.T) {
	shared := []string{"fault", "transport", "redact", "providertest"}
	packages := listPackages(t)
	var platforms []string
	for _, p := range packages {
		name, below := strings.CutPrefix(p.ImportPath, module+"providers/")
		if below && !strings.Contains(name, "/") && !slices.Contains(shared, name) {
			platforms = append(platforms, p.ImportPath)
		}
	}
	require.Subset(t, platforms, []string{module + "providers/github", module + "providers/gitlab", module + "providers/gitea"})
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, module)
		if name == "backend" || strings.HasPrefix(name, "providers/") || strings.HasPrefix(name, "bootstrap/") || strings.HasPrefix(name, "scripts/") {
			continue
		}
		for _, platform := range platforms {
			require.NotContains(t, p.Imports, platform, "%s must not know a platform by name", p.ImportPath)
		}
	}
}

func TestPolicyIsPure(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.ImportPath != module+"backend/policy" {
			continue
		}
		for _, imported := range p.Imports {
			inner, ours := strings.CutPrefix(imported, module)
			switch {
			case ours:
				require.Contains(t, []string{"backend/glob", "backend/identity", "providers", "providers/fault"}, inner)
			default:
				pure := []string{"cmp", "errors", "fmt", "maps", "net/netip", "regexp", "slices", "sort", "strconv", "strings", "time"}
				require.Contains(t, pure, imported, "policy does no I/O")
			}
		}
	}
	for _, call := range callsOf(t, "policy", "time") {
		require.NotContains(t, []string{"Now", "Since", "Until", "Sleep", "After", "NewTimer", "Tick"}, call, "policy has no clock: the time is handed in")
	}
}

// callsOf lists the names that the package's own files use of another package.
func callsOf(t *testing.T, folder, of string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var names []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := selector.X.(*ast.Ident); ok && x.Name == of {
					names = append(names, selector.Sel.Name)
				}
			}
			return true
		})
	}
	slices.Sort(names)
	return slices.Compact(names)
}
