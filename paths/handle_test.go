// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// answered is the status and the text with which Vault answers an error of ours.
func answered(t *testing.T, failure error) (status int, text string) {
	t.Helper()
	resp, err := handle(func(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
		return nil, failure
	})(t.Context(), &logical.Request{}, &framework.FieldData{})
	if coded, ok := errors.AsType[logical.HTTPCodedError](err); ok {
		return coded.Code(), coded.Error()
	}
	status, shown := logical.RespondErrorCommon(&logical.Request{}, resp, err)
	return status, fmt.Sprint(shown)
}

func TestEachKindOfFaultHasItsStatus(t *testing.T) {
	for kind, status := range map[fault.Kind]int{
		fault.Invalid: 400, fault.Refused: 400, fault.Denied: 403, fault.NotFound: 404, fault.Conflict: 409, fault.Limited: 429,
		fault.Internal: 500, fault.Unauthorized: 502, fault.Nonsense: 502, fault.Unavailable: 503,
	} {
		t.Run(kind.String(), func(t *testing.T) {
			got, text := answered(t, fault.New(kind, "what it was"))
			require.Equal(t, status, got)
			require.Contains(t, text, "what it was")
			wrapped, _ := answered(t, fmt.Errorf("somewhere: %w", fault.New(kind, "what it was")))
			require.Equal(t, status, wrapped, "however often it was wrapped")
		})
	}
	got, _ := answered(t, errors.New("storage is broken"))
	require.Equal(t, 500, got)
}

// Every kind that there is has a status, one that is added later included.
func TestNoKindIsForgotten(t *testing.T) {
	for kind := fault.Internal + 1; kind.String() != ""; kind++ {
		got, _ := answered(t, fault.New(kind, "x"))
		require.NotEqual(t, 500, got, kind)
	}
}

func TestALimitSaysHowLong(t *testing.T) {
	_, text := answered(t, fault.LimitedFor(90*time.Second, "slow down"))
	require.Equal(t, "slow down (wait 1m30s)", text)
	_, text = answered(t, fault.LimitedFor(90*time.Second, "slow down for 1m30s"))
	require.Equal(t, "slow down for 1m30s", text, "once")
}

func TestAWriteOnAStandbyIsForwarded(t *testing.T) {
	_, err := answer(fmt.Errorf("store: write k: %w", logical.ErrReadOnly))
	require.Equal(t, logical.ErrReadOnly, err, "Vault compares it as it is")
}

// schema of a path with a field of each type.
var everyType = map[string]*framework.FieldSchema{
	"text": text("Text."), "texts": {Type: framework.TypeCommaStringSlice, Default: []string{"*"}}, "number": number("Number.", 7), "flag": yesNo("Flag."), "duration": duration("Duration."),
}

type values struct {
	Text     string
	Texts    []string
	Number   int
	Flag     bool
	Duration time.Duration
}

// decoded is what comes of a body that is written over what there was.
func decoded(raw map[string]any, v values) (values, error) {
	in := &input{d: &framework.FieldData{Raw: raw, Schema: everyType}}
	in.text("text", &v.Text)
	in.texts("texts", &v.Texts)
	in.number("number", &v.Number)
	in.yesNo("flag", &v.Flag)
	in.duration("duration", &v.Duration)
	return v, in.err
}

func TestWhatAFieldBecomes(t *testing.T) {
	before := values{"old", []string{"old"}, 1, true, time.Hour}
	for name, c := range map[string]struct {
		raw      map[string]any
		expected values
	}{
		"left out":           {map[string]any{}, before},
		"null":               {map[string]any{"text": nil, "texts": nil, "number": nil, "flag": nil, "duration": nil}, values{"", []string{"*"}, 7, false, 0}},
		"empty":              {map[string]any{"text": "", "texts": []any{}, "number": 0, "flag": false, "duration": 0}, values{"", []string{}, 0, false, 0}},
		"from JSON":          {map[string]any{"text": "new", "texts": []any{"a", "b,c", " d\n"}, "number": 2.0, "flag": false, "duration": 90.0}, values{"new", []string{"a", "b,c", " d\n"}, 2, false, 90 * time.Second}},
		"from the CLI":       {map[string]any{"text": "new", "texts": "a, b", "number": "2", "flag": "false", "duration": "1m30s"}, values{"new", []string{"a", "b"}, 2, false, 90 * time.Second}},
		"from a query":       {map[string]any{"text": "new", "texts": []string{"a", "b"}, "number": "2", "flag": "false", "duration": "90"}, values{"new", []string{"a", "b"}, 2, false, 90 * time.Second}},
		"a list of one text": {map[string]any{"text": "old", "texts": "a", "number": 1, "flag": true, "duration": "1h"}, values{"old", []string{"a"}, 1, true, time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decoded(c.raw, before)
			require.NoError(t, err)
			require.Equal(t, c.expected, got)
		})
	}
}

func TestAFieldOfTheWrongTypeIsNamed(t *testing.T) {
	for field, value := range map[string]any{"number": "many", "flag": "perhaps", "duration": "soon", "text": map[string]any{"a": 1}, "texts": map[string]any{"a": 1}} {
		_, err := decoded(map[string]any{field: value}, values{})
		require.True(t, fault.Is(err, fault.Invalid), "%s: %v", field, err)
		require.ErrorContains(t, err, field+": ")
	}
}

func TestAWriteDoesNotChangeTheListThatItCameFrom(t *testing.T) {
	stored := []string{"a", "b"}
	got, err := decoded(map[string]any{"texts": stored}, values{})
	require.NoError(t, err)
	got.Texts[0] = "changed"
	require.Equal(t, []string{"a", "b"}, stored)
}

func TestAnUnknownFieldIsRefusedByName(t *testing.T) {
	called := false
	h := handle(func(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
		called = true
		return nil, nil
	})
	d := &framework.FieldData{Schema: everyType}
	resp, err := h(t.Context(), &logical.Request{Data: map[string]any{"text": "x", "txet": "hunter2"}}, d)
	require.NoError(t, err)
	require.EqualError(t, resp.Error(), "txet: is not a field of this path; allowed: duration, flag, number, text, texts")
	require.False(t, called)
	_, err = h(t.Context(), &logical.Request{Data: map[string]any{"text": "x"}}, d)
	require.NoError(t, err)
	require.True(t, called)
}

func TestWhoAsks(t *testing.T) {
	caller := callerOf(&logical.Request{ID: "id", EntityID: "entity", DisplayName: "name", MountPoint: "ci/", Connection: &logical.Connection{RemoteAddr: "10.0.0.1"}})
	require.Equal(t, "10.0.0.1", caller.Address)
	require.Equal(t, "id", caller.RequestID)
	require.Equal(t, "ci/", caller.Mount)
	require.Empty(t, callerOf(&logical.Request{}).Address)
}
