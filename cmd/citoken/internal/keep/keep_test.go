// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package keep

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
)

const life = 2 * time.Minute

// kept runs Alive in a bubble of fake time for at most an hour, and says how it
// ended and when it renewed.
func kept(t *testing.T, renew func(attempt int) (time.Duration, error)) (at []time.Duration, err error) {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	err = Alive(ctx, life, func(context.Context) (time.Duration, error) {
		at = append(at, time.Since(start))
		return renew(len(at))
	})
	return at, err
}

func TestItRenewsAtHalfOfWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, err := kept(t, func(int) (time.Duration, error) { return life, nil })
		require.NoError(t, err)
		require.Equal(t, []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute}, at[:3])
		require.InDelta(t, 60, len(at), 1)
	})
}

func TestWhatIsNotAnsweredIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outage := errors.New("connection refused")
		at, err := kept(t, func(attempt int) (time.Duration, error) {
			if attempt%4 != 0 {
				return 0, outage
			}
			return life, nil
		})
		require.NoError(t, err, "outages shorter than the life cost nothing")
		require.Greater(t, len(at), 50)

		at, err = kept(t, func(int) (time.Duration, error) { return 0, outage })
		require.ErrorIs(t, err, outage)
		require.ErrorContains(t, err, "ended while it could not be renewed")
		require.Less(t, at[len(at)-1], life)
	})
}

func TestATryThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		tries := 0
		require.NoError(t, Alive(ctx, life, func(try context.Context) (time.Duration, error) {
			if tries++; tries%3 != 0 {
				<-try.Done()
				return 0, try.Err()
			}
			return life, nil
		}))
		require.Greater(t, tries, 50)
		require.ErrorIs(t, Alive(t.Context(), life, func(try context.Context) (time.Duration, error) {
			<-try.Done()
			return 0, try.Err()
		}), context.DeadlineExceeded)
	})
}

func TestWhatIsRefusedIsLost(t *testing.T) {
	for _, status := range []int{400, 403, 404} {
		synctest.Test(t, func(t *testing.T) {
			at, err := kept(t, func(int) (time.Duration, error) { return 0, &api.ResponseError{StatusCode: status} })
			require.Error(t, err)
			require.Len(t, at, 1)
		})
	}
	for _, status := range []int{429, 500, 503} {
		synctest.Test(t, func(t *testing.T) {
			at, err := kept(t, func(int) (time.Duration, error) { return 0, &api.ResponseError{StatusCode: status} })
			require.Error(t, err)
			require.Greater(t, len(at), 5, "%d passes", status)
		})
	}
}

func TestTheMaximumLifeIsTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(10 * time.Minute)
		_, err := kept(t, func(int) (time.Duration, error) { return min(life, time.Until(end)), nil })
		require.EqualError(t, err, "it has reached its maximum life")
		require.WithinDuration(t, end, time.Now(), time.Second)
	})
}
