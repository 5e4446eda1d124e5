// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package fault_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func TestAKindOutlivesWrapping(t *testing.T) {
	err := fmt.Errorf("mint: %w", fault.LimitedFor(time.Minute, "the platform limits us"))
	require.Equal(t, fault.Limited, fault.KindOf(err))
	require.Equal(t, time.Minute, fault.RetryAfter(err))
	require.EqualError(t, err, "mint: the platform limits us")
}

func TestTheOutermostKindCounts(t *testing.T) {
	inner := fault.New(fault.Unauthorized, "401")
	err := fault.New(fault.Invalid, "the platform does not accept it: %w", inner)
	require.True(t, fault.Is(err, fault.Invalid))
	require.ErrorIs(t, err, inner)
}

func TestWhatNobodyNamedIsInternal(t *testing.T) {
	require.Equal(t, fault.Internal, fault.KindOf(errors.New("storage failed")))
	require.False(t, fault.Is(nil, fault.Internal), "no error is of no kind")
	require.Zero(t, fault.RetryAfter(nil))
}

func TestAFieldIsNamedFirst(t *testing.T) {
	err := fault.InvalidField("ttl", "must be at least 1s: %w", context.Canceled)
	require.EqualError(t, err, "ttl: must be at least 1s: context canceled")
	require.ErrorIs(t, err, context.Canceled)
}

func TestALimitWithoutATimeIsAGuess(t *testing.T) {
	require.True(t, fault.LimitedSomehow("limits us").Guessed)
	require.False(t, fault.LimitedFor(time.Second, "limits us").Guessed)
}
