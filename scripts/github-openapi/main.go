// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Command github-openapi cuts out of GitHub's REST description what the simulator
// of GitHub needs: its operations and whatever they refer to, without prose and
// examples. It reads the whole description from the file named first and writes
// the extract to the file named second.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: github-openapi DESCRIPTION EXTRACT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "github-openapi:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	whole, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	extract, err := extract(whole, githubtest.Operations())
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return os.WriteFile(to, extract, 0o644)
}

type object = map[string]any

// extract returns the description of the operations ("METHOD PATH") alone, always
// in the same bytes: encoding/json sorts the members.
func extract(whole []byte, operations []string) ([]byte, error) {
	var source object
	if err := json.Unmarshal(whole, &source); err != nil {
		return nil, err
	}
	e := &extractor{source: source, result: object{"openapi": source["openapi"], "info": info(source)}}
	for _, operation := range operations {
		method, path, _ := strings.Cut(operation, " ")
		if err := e.include("paths", path, strings.ToLower(method)); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	err := encoder.Encode(e.result)
	return out.Bytes(), err
}

// info says what this is an extract of, and under which licence it is.
func info(source object) object {
	from, _ := source["info"].(object)
	return object{"title": from["title"], "version": from["version"], "license": from["license"]}
}

// extractor copies from source to result.
type extractor struct {
	source, result object
}

// include copies what is at that place, and all that it refers to, once.
func (e *extractor) include(place ...string) error {
	value, ok := lookup(e.source, place)
	if !ok {
		return fmt.Errorf("there is no %s", strings.Join(place, " "))
	}
	if _, done := lookup(e.result, place); done {
		return nil
	}
	value = strip(value, "")
	if response, ok := value.(object); ok && place[1] == "responses" {
		response["description"] = ""
	}
	store(e.result, place, value)
	for _, reference := range references(value) {
		path, ok := strings.CutPrefix(reference, "#/")
		if !ok {
			return fmt.Errorf("%s refers to another file", reference)
		}
		if err := e.include(strings.Split(path, "/")...); err != nil {
			return err
		}
	}
	return nil
}

func lookup(in object, place []string) (any, bool) {
	var value any = in
	for _, name := range place {
		parent, ok := value.(object)
		if !ok {
			return nil, false
		}
		if value, ok = parent[name]; !ok {
			return nil, false
		}
	}
	return value, true
}

func store(in object, place []string, value any) {
	for _, name := range place[:len(place)-1] {
		child, ok := in[name].(object)
		if !ok {
			child = object{}
			in[name] = child
		}
		in = child
	}
	in[place[len(place)-1]] = value
}

// prose are the members that describe rather than define.
var prose = []string{"description", "summary", "example", "examples", "externalDocs", "tags"}

// strip copies a value without prose. Below "properties" the members are names of
// GitHub's, whatever they are called; a response must have a description.
func strip(value any, parent string) any {
	switch v := value.(type) {
	case object:
		out := object{}
		for name, member := range v {
			if parent != "properties" && (slices.Contains(prose, name) || strings.HasPrefix(name, "x-")) {
				continue
			}
			out[name] = strip(member, name)
			if response, ok := out[name].(object); ok && parent == "responses" && response["$ref"] == nil {
				response["description"] = ""
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, member := range v {
			out[i] = strip(member, "")
		}
		return out
	default:
		return value
	}
}

// references are the places that a value refers to, in a fixed order.
func references(value any) []string {
	var list []string
	switch v := value.(type) {
	case object:
		if reference, ok := v["$ref"].(string); ok {
			return []string{reference}
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			list = append(list, references(v[name])...)
		}
	case []any:
		for _, member := range v {
			list = append(list, references(member)...)
		}
	}
	return list
}
