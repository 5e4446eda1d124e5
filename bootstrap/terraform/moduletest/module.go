// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package moduletest evaluates a Terraform module as Terraform does, as far as this
// repository's module goes: typed variables with optional fields and validations,
// for_each, and the functions that it uses. A test learns from the real files what
// the provider would write, without Terraform and without the provider.
package moduletest

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
)

// Module is a folder of .tf files.
type Module struct {
	variables map[string]variable
	resources []resource
	outputs   map[string]hcl.Expression
	calls     map[string]hcl.Attributes
}

type variable struct {
	kind        cty.Type
	defaults    *typeexpr.Defaults
	otherwise   hcl.Expression // nil where a value is required
	validations []validation
}

type validation struct{ condition, message hcl.Expression }

type resource struct {
	kind, name string
	attributes hcl.Attributes
	after      []string // addresses without keys
}

func (r resource) address() string { return r.kind + "." + r.name }

var fileSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "terraform"},
	{Type: "variable", LabelNames: []string{"name"}},
	{Type: "resource", LabelNames: []string{"type", "name"}},
	{Type: "output", LabelNames: []string{"name"}},
	{Type: "module", LabelNames: []string{"name"}},
}}

// Open parses the .tf files of a folder. What it does not know is an error.
func Open(dir string) (*Module, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.tf"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("module %s: no .tf files", dir)
	}
	m := &Module{variables: map[string]variable{}, outputs: map[string]hcl.Expression{}, calls: map[string]hcl.Attributes{}}
	parser := hclparse.NewParser()
	for _, file := range files {
		parsed, problems := parser.ParseHCLFile(file)
		if problems.HasErrors() {
			return nil, problems
		}
		content, problems := parsed.Body.Content(fileSchema)
		if problems.HasErrors() {
			return nil, problems
		}
		for _, block := range content.Blocks {
			if err := m.add(block); err != nil {
				return nil, err
			}
		}
	}
	return m, m.order()
}

// Fields are the names of the fields that each value of a variable, a map of
// objects, can have.
func (m *Module) Fields(variable string) []string {
	return slices.Sorted(maps.Keys(m.variables[variable].kind.ElementType().AttributeTypes()))
}

func (m *Module) add(block *hcl.Block) error {
	if block.Type == "terraform" {
		return nil
	}
	if block.Type == "variable" {
		v, err := readVariable(block.Body)
		m.variables[block.Labels[0]] = v
		return err
	}
	attributes, problems := block.Body.JustAttributes()
	if problems.HasErrors() {
		return problems
	}
	switch block.Type {
	case "output":
		m.outputs[block.Labels[0]] = attributes["value"].Expr
	case "module":
		m.calls[block.Labels[0]] = attributes
	case "resource":
		r := resource{kind: block.Labels[0], name: block.Labels[1], attributes: attributes}
		if depends := attributes["depends_on"]; depends != nil {
			list, problems := hcl.ExprList(depends.Expr)
			if problems.HasErrors() {
				return problems
			}
			for _, item := range list {
				t := item.Variables()[0]
				r.after = append(r.after, t.RootName()+"."+t[1].(hcl.TraverseAttr).Name)
			}
		}
		m.resources = append(m.resources, r)
	}
	return nil
}

func readVariable(body hcl.Body) (variable, error) {
	content, problems := body.Content(&hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "description", Required: true}, {Name: "type", Required: true}, {Name: "default"}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: "validation"}},
	})
	if problems.HasErrors() {
		return variable{}, problems
	}
	var v variable
	v.kind, v.defaults, problems = typeexpr.TypeConstraintWithDefaults(content.Attributes["type"].Expr)
	if problems.HasErrors() {
		return variable{}, problems
	}
	if otherwise := content.Attributes["default"]; otherwise != nil {
		v.otherwise = otherwise.Expr
	}
	for _, block := range content.Blocks {
		attributes, problems := block.Body.JustAttributes()
		if problems.HasErrors() {
			return variable{}, problems
		}
		v.validations = append(v.validations, validation{attributes["condition"].Expr, attributes["error_message"].Expr})
	}
	return v, nil
}

// order sorts the resources so that each comes after those that it depends on.
func (m *Module) order() error {
	var sorted []resource
	done := map[string]bool{}
	for len(sorted) < len(m.resources) {
		before := len(sorted)
		for _, r := range m.resources {
			ready := !slices.ContainsFunc(r.after, func(address string) bool { return !done[address] })
			if ready && !done[r.address()] {
				sorted, done[r.address()] = append(sorted, r), true
			}
		}
		if len(sorted) == before {
			return errors.New("module: depends_on goes in a circle, or to what is not there")
		}
	}
	m.resources = sorted
	return nil
}
