// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	strict "github.com/go-jose/go-jose/v4/json"
)

// Claims are what a token says, by name. They are immutable; the zero value holds
// nothing.
type Claims struct {
	values map[string]any
}

// ParseClaims reads a JSON object. Numbers keep the digits they are written with:
// an id of 20 digits must not become another one. An object in which a name stands
// twice is refused, since two readers could each believe another value.
func ParseClaims(payload []byte) (Claims, error) {
	if !utf8.Valid(payload) {
		return Claims{}, errors.New("the claims are not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	var values map[string]any
	if err := decoder.Decode(&values); err != nil || values == nil {
		return Claims{}, errors.New("the claims are not a JSON object")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Claims{}, errors.New("something follows the claims")
	}
	repeated := strict.NewDecoder(bytes.NewReader(payload))
	repeated.SetNumberType(strict.UnmarshalJSONNumber)
	var discard map[string]any
	if err := repeated.Decode(&discard); err != nil {
		return Claims{}, errors.New("a claim stands there twice")
	}
	return Claims{values: values}, nil
}

// Text is a claim's value as it is compared: a string itself, a number or boolean
// as JSON writes it. It is false for a claim that is missing, null, a list or an
// object: such a claim never matches anything.
func (c Claims) Text(claim string) (string, bool) {
	switch value := c.values[claim].(type) {
	case string:
		return value, true
	case json.Number:
		return value.String(), true
	case bool:
		if value {
			return "true", true
		}
		return "false", true
	default:
		return "", false
	}
}

// number is the text of a claim that is a number.
func (c Claims) number(claim string) (string, bool) {
	value, ok := c.values[claim].(json.Number)
	return value.String(), ok
}

// texts is a claim that is one string or a list of strings, such as aud.
func (c Claims) texts(claim string) []string {
	switch value := c.values[claim].(type) {
	case string:
		return []string{value}
	case []any:
		var list []string
		for _, item := range value {
			if text, ok := item.(string); ok {
				list = append(list, text)
			}
		}
		return list
	default:
		return nil
	}
}

// describe says what a claim is, for a message.
func (c Claims) describe(claim string) string {
	if text, ok := c.Text(claim); ok {
		return "is " + show(text)
	}
	value, there := c.values[claim]
	switch {
	case !there:
		return "is missing"
	case value == nil:
		return "is null"
	default:
		return "is a list or an object, which never matches"
	}
}
