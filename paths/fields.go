// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"time"

	"github.com/hashicorp/vault/sdk/framework"
)

func text(description string) *framework.FieldSchema {
	return &framework.FieldSchema{Type: framework.TypeString, Description: description}
}

func texts(description string) *framework.FieldSchema {
	return &framework.FieldSchema{Type: framework.TypeCommaStringSlice, Description: description}
}

func number(description string, otherwise int) *framework.FieldSchema {
	return &framework.FieldSchema{Type: framework.TypeInt, Description: description, Default: otherwise}
}

func yesNo(description string) *framework.FieldSchema {
	return &framework.FieldSchema{Type: framework.TypeBool, Description: description}
}

func duration(description string) *framework.FieldSchema {
	return &framework.FieldSchema{Type: framework.TypeDurationSecond, Description: description}
}

func secret(description string) *framework.FieldSchema {
	return &framework.FieldSchema{Type: framework.TypeString, Description: description, DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}}
}

// query declares that a field may stand in the query of a read.
func query(f *framework.FieldSchema) *framework.FieldSchema {
	f.Query = true
	return f
}

func name(of string) *framework.FieldSchema {
	return &framework.FieldSchema{Type: framework.TypeString, Description: "Name of the " + of + "."}
}

// input reads what was written into the fields of a value that starts out as its
// defaults (a write, which replaces) or as what is stored (a PATCH, which merges).
// A field that is null goes back to its default.
type input struct {
	d   *framework.FieldData
	err error
}

// given reports whether the field was written, null included.
func (in *input) given(field string) bool {
	_, there := in.d.Raw[field]
	return there
}

// set reports whether the field was written with a value: null is none.
func (in *input) set(field string) bool { return in.d.Raw[field] != nil }

// value is the field's value, or its default where it is null; written is false
// where it was left out.
func (in *input) value(field string) (value any, written bool) {
	if in.err != nil || !in.given(field) {
		return nil, false
	}
	if in.d.Raw[field] == nil {
		return in.d.Schema[field].DefaultOrZero(), true
	}
	if in.err = checkType(field, in.d.Raw[field], in.d.Schema[field]); in.err != nil {
		return nil, false
	}
	return in.d.Get(field), true
}

func (in *input) text(field string, to *string) {
	if v, ok := in.value(field); ok {
		*to, _ = v.(string)
	}
}

func (in *input) texts(field string, to *[]string) {
	if v, ok := in.value(field); ok {
		list, _ := v.([]string)
		if written, isList := asWritten(in.d.Raw[field]); isList {
			list = written
		}
		*to = append([]string{}, list...)
	}
}

// asWritten gives a list of texts without the trimming that the framework does:
// what reads back must be what was written, the line end of a PEM file included.
func asWritten(raw any) (texts []string, isList bool) {
	switch raw := raw.(type) {
	case []string:
		return raw, true
	case []any:
		for _, element := range raw {
			s, isText := element.(string)
			if !isText {
				return nil, false
			}
			texts = append(texts, s)
		}
		return texts, true
	}
	return nil, false
}

func (in *input) number(field string, to *int) {
	if v, ok := in.value(field); ok {
		*to, _ = v.(int)
	}
}

func (in *input) yesNo(field string, to *bool) {
	if v, ok := in.value(field); ok {
		*to, _ = v.(bool)
	}
}

func (in *input) duration(field string, to *time.Duration) {
	if v, ok := in.value(field); ok {
		seconds, _ := v.(int)
		*to = time.Duration(seconds) * time.Second
	}
}

// seconds is a duration as answers write it.
func seconds(d time.Duration) int { return int(d / time.Second) }

// list is a list as answers write it: empty, never null.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
