// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/go-secure-stdlib/parseutil"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// CheckTypes answers a request in which a field is of a type that it cannot have,
// and is nil for any other. It comes before the framework's own check, whose error
// repeats the value: a key that was written as a list would be in the answer, and in
// Vault's log. It is stricter, too: what the framework would take for zero or false,
// a variable that is not set or half a number, is no limit that anybody meant.
func CheckTypes(path *framework.Path, req *logical.Request) *logical.Response {
	for _, name := range slices.Sorted(maps.Keys(req.Data)) {
		schema, value := path.Fields[name], req.Data[name]
		if schema == nil || value == nil {
			continue
		}
		if err := checkType(name, value, schema); err != nil {
			resp, _ := answer(err)
			return resp
		}
	}
	return nil
}

// checkType is fault.Invalid for a value that the field cannot have. It does not repeat
// the value.
func checkType(name string, value any, schema *framework.FieldSchema) error {
	if wanted := fits(name, value, schema); wanted != "" {
		return fault.InvalidField(name, "must be %s", wanted)
	}
	return nil
}

// fits says what a value must be that is not; empty for one that is right.
func fits(name string, value any, schema *framework.FieldSchema) (wanted string) {
	switch schema.Type {
	case framework.TypeInt:
		if !isWhole(value) {
			return "a whole number, such as 1"
		}
	case framework.TypeBool:
		if _, isBool := value.(bool); !isBool && !parses(strconv.ParseBool, value) {
			return "true or false"
		}
	case framework.TypeDurationSecond:
		d, err := parseutil.ParseDurationSecond(value)
		if err != nil || d < 0 || d%time.Second != 0 || isNumber(value) && !isWhole(value) {
			return "a duration in whole seconds, such as 90s, 15m or 900"
		}
	default:
		data := framework.FieldData{Raw: map[string]any{name: value}, Schema: map[string]*framework.FieldSchema{name: schema}}
		_, _, err := data.GetOkErr(name)
		switch {
		case err == nil:
		case schema.Type == framework.TypeCommaStringSlice:
			return "a list of texts, or one text with commas between them"
		default:
			return "a text"
		}
	}
	return ""
}

// isNumber reports whether it was written as a number, of which the framework would
// cut what comes after the point.
func isNumber(value any) bool {
	switch value.(type) {
	case json.Number, float64:
		return true
	}
	return false
}

func isWhole(value any) bool {
	if f, isFloat := value.(float64); isFloat {
		return f == math.Trunc(f)
	}
	return parses(strconv.Atoi, value)
}

// parses reports whether the value can be read when it is written out.
func parses[T any](parse func(string) (T, error), value any) bool {
	_, err := parse(fmt.Sprint(value))
	return err == nil
}
