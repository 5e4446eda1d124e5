// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package moduletest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Resource is one instance of a resource as it is planned.
type Resource struct {
	// Address is Terraform's: vault_policy.this["ci-build-web"].
	Address string
	// Path in Vault that is written, read and deleted.
	Path string
	// Data is the JSON that is written, in the normal form in which the provider
	// keeps and compares it.
	Data string
	// IgnoreAbsent: a read is compared by the fields of Data alone.
	IgnoreAbsent bool
}

// Inputs are values of a module's variables. Decode makes them.
type Inputs map[string]cty.Value

// Decode reads inputs from a JSON object, as in a .tfvars.json file.
func Decode(text string) (Inputs, error) {
	kind, err := ctyjson.ImpliedType([]byte(text))
	if err != nil {
		return nil, err
	}
	value, err := ctyjson.Unmarshal([]byte(text), kind)
	if err != nil {
		return nil, err
	}
	return value.AsValueMap(), nil
}

// Call evaluates what a root module gives to the module that it calls.
func (m *Module) Call(name string, inputs Inputs) (Inputs, error) {
	scope, err := m.scope(inputs)
	if err != nil {
		return nil, err
	}
	given := Inputs{}
	for field, attribute := range m.calls[name] {
		value, problems := attribute.Expr.Value(scope)
		if problems.HasErrors() {
			return nil, problems
		}
		given[field] = value
	}
	delete(given, "source")
	return given, nil
}

// Plan are the resources for the inputs, each after those that it depends on.
// Inputs that a variable's type or validation refuses are an error, with the
// validation's message.
func (m *Module) Plan(inputs Inputs) ([]Resource, error) {
	scope, err := m.scope(inputs)
	if err != nil {
		return nil, err
	}
	var plan []Resource
	for _, r := range m.resources {
		each, problems := r.attributes["for_each"].Expr.Value(scope)
		if problems.HasErrors() {
			return nil, problems
		}
		instances := each.AsValueMap()
		for _, key := range slices.Sorted(maps.Keys(instances)) {
			instance := scope.NewChild()
			instance.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{
				"key": cty.StringVal(key), "value": instances[key],
			})}
			planned, err := r.plan(key, instance)
			if err != nil {
				return nil, err
			}
			plan = append(plan, planned)
		}
	}
	return plan, nil
}

// plan maps an instance to the requests of hashicorp/vault: vault_policy is
// sys/policies/acl with one field.
func (r resource) plan(key string, scope *hcl.EvalContext) (Resource, error) {
	values := map[string]cty.Value{}
	for name, attribute := range r.attributes {
		if name == "for_each" || name == "depends_on" {
			continue
		}
		value, problems := attribute.Expr.Value(scope)
		if problems.HasErrors() {
			return Resource{}, problems
		}
		values[name] = value
	}
	planned := Resource{Address: fmt.Sprintf("%s[%q]", r.address(), key)}
	switch r.kind {
	case "vault_generic_endpoint":
		planned.Path, planned.Data = values["path"].AsString(), values["data_json"].AsString()
		planned.IgnoreAbsent = values["ignore_absent_fields"].True()
	case "vault_policy":
		policy, err := json.Marshal(map[string]string{"policy": values["policy"].AsString()})
		if err != nil {
			return Resource{}, err
		}
		planned.Path, planned.Data = "sys/policies/acl/"+values["name"].AsString(), string(policy)
		planned.IgnoreAbsent = true
	default:
		return Resource{}, fmt.Errorf("%s: unknown resource", planned.Address)
	}
	var normal map[string]any
	decoder := json.NewDecoder(strings.NewReader(planned.Data))
	decoder.UseNumber()
	if err := decoder.Decode(&normal); err != nil {
		return Resource{}, fmt.Errorf("%s: %w", planned.Address, err)
	}
	text, err := json.Marshal(normal)
	planned.Data = string(text)
	return planned, err
}

// Outputs are the module's outputs, as JSON.
func (m *Module) Outputs(inputs Inputs) (map[string]string, error) {
	scope, err := m.scope(inputs)
	if err != nil {
		return nil, err
	}
	outputs := map[string]string{}
	for name, expression := range m.outputs {
		value, problems := expression.Value(scope)
		if problems.HasErrors() {
			return nil, problems
		}
		text, err := ctyjson.Marshal(value, value.Type())
		if err != nil {
			return nil, err
		}
		outputs[name] = string(text)
	}
	return outputs, nil
}

// scope is what expressions of the module see.
func (m *Module) scope(inputs Inputs) (*hcl.EvalContext, error) {
	for name := range inputs {
		if _, known := m.variables[name]; !known {
			return nil, fmt.Errorf("there is no variable %s", name)
		}
	}
	values := map[string]cty.Value{}
	for name, v := range m.variables {
		value, err := v.value(inputs, name)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", name, err)
		}
		values[name] = value
	}
	scope := &hcl.EvalContext{Variables: map[string]cty.Value{"var": cty.ObjectVal(values)}, Functions: functions()}
	for name, v := range m.variables {
		if err := v.validate(scope); err != nil {
			return nil, fmt.Errorf("variable %s: %w", name, err)
		}
	}
	return scope, nil
}

// value is what the variable is for the inputs: defaults filled in, in its type.
func (v variable) value(inputs Inputs, name string) (cty.Value, error) {
	value, given := inputs[name]
	if !given {
		if v.otherwise == nil {
			return cty.NilVal, errors.New("is required")
		}
		otherwise, problems := v.otherwise.Value(nil)
		if problems.HasErrors() {
			return cty.NilVal, problems
		}
		value = otherwise
	}
	if v.defaults != nil {
		value = v.defaults.Apply(value)
	}
	return convert.Convert(value, v.kind)
}

func (v variable) validate(scope *hcl.EvalContext) error {
	for _, validation := range v.validations {
		holds, problems := validation.condition.Value(scope)
		if problems.HasErrors() {
			return problems
		}
		if holds.True() {
			continue
		}
		message, problems := validation.message.Value(scope)
		if problems.HasErrors() {
			return problems
		}
		return errors.New(message.AsString())
	}
	return nil
}
