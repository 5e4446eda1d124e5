// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package brief

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
)

func TestError(t *testing.T) {
	answer := &api.ResponseError{StatusCode: 403, URL: "https://vault/v1/ci/creds/x", Errors: []string{"1 error occurred:\n\t* permission denied\n\n"}}
	err := Error(fmt.Errorf("read: %w", answer))
	require.EqualError(t, err, "Vault answers 403: permission denied")
	var same *api.ResponseError
	require.ErrorAs(t, err, &same)
	require.EqualError(t, Error(&api.ResponseError{StatusCode: 503, Errors: []string{"a", "b"}}), "Vault answers 503: a; b")
	require.EqualError(t, Error(&api.ResponseError{StatusCode: 502}), "Vault answers 502: no reason given")
	other := errors.New("connection refused")
	require.Equal(t, other, Error(other))
	require.NoError(t, Error(nil))
}
