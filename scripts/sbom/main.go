// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Command sbom prints what a Go program was built from as a CycloneDX document. It
// reads the program itself, so that the list is what was linked and not what might
// have been.
//
//	SOURCE_DATE_EPOCH=1700000000 sbom vX.Y.Z PROGRAM >PROGRAM.cdx.json
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// document is the part of CycloneDX 1.6 that is used here.
type document struct {
	Schema       string       `json:"$schema"`
	Format       string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	PURL       string     `json:"purl,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

func main() {
	if err := run(os.Args[1:], os.Getenv("SOURCE_DATE_EPOCH"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(args []string, epoch string, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("usage: sbom VERSION PROGRAM")
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: the time of the release in seconds since 1970: %w", err)
	}
	doc, err := describe(args[1], args[0], time.Unix(seconds, 0).UTC())
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(doc)
}

// describe reads a program. Only its content and the arguments go into the answer.
func describe(program, version string, at time.Time) (*document, error) {
	build, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	subject := component{
		Type: "application", Ref: purl(build.Path, version), Name: filepath.Base(program), Version: version,
		PURL: purl(build.Path, version), Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "GOOS", "GOARCH", "CGO_ENABLED", "vcs.revision":
			subject.Properties = append(subject.Properties, property{"build:" + s.Key, s.Value})
		}
	}
	doc := &document{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", SpecVersion: "1.6", Version: 1,
		Metadata: metadata{at.Format(time.RFC3339), subject},
	}
	uses := dependency{Ref: subject.Ref}
	for _, module := range modules(build) {
		doc.Components = append(doc.Components, module)
		uses.DependsOn = append(uses.DependsOn, module.Ref)
	}
	doc.Dependencies = []dependency{uses}
	return doc, nil
}

// modules are those that were linked, Go's own library first.
func modules(build *debug.BuildInfo) []component {
	list := []component{library("std", strings.TrimPrefix(build.GoVersion, "go"), "")}
	for _, dep := range build.Deps {
		used := dep
		if dep.Replace != nil {
			used = dep.Replace
		}
		list = append(list, library(used.Path, used.Version, used.Sum))
	}
	return list
}

func library(path, version, sum string) component {
	c := component{Type: "library", Ref: purl(path, version), Name: path, Version: version, PURL: purl(path, version)}
	if sum != "" {
		c.Properties = []property{{"go:sum", sum}}
	}
	return c
}

// purl is the package URL of a Go package: lower-case, and + is not allowed in it.
func purl(path, version string) string {
	return "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B")
}
