// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package keep keeps something alive that ends unless it is renewed.
package keep

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	// mostRetry is the longest wait between two tries of one renewal.
	mostRetry = 10 * time.Second
	// leastWait keeps very short lives from being renewed without pause.
	leastWait = 200 * time.Millisecond
	// leastTry is what one try has at the least.
	leastTry = time.Second
)

// Alive renews at half of what is left, until the context ends (nil) or what is
// kept is lost (why). What Vault refuses is lost at once; what it does not answer is
// tried again until the life is over, as is what it does not answer in a quarter of
// what is left.
func Alive(ctx context.Context, life time.Duration, renew func(context.Context) (time.Duration, error)) error {
	end := time.Now().Add(life)
	wait := life / 2
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(wait, leastWait)):
		}
		try, done := context.WithTimeout(ctx, max(time.Until(end)/4, leastTry))
		left, err := renew(try)
		done()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			end, wait = time.Now().Add(left), left/2
		case refused(err):
			return err
		default:
			wait = min(time.Until(end)/4, mostRetry)
		}
		if time.Until(end) < leastWait {
			return ended(err)
		}
	}
}

func ended(last error) error {
	if last == nil {
		return errors.New("it has reached its maximum life")
	}
	return fmt.Errorf("it ended while it could not be renewed: %w", last)
}

func refused(err error) bool {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound:
		return true
	}
	return false
}
