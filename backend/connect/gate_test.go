// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package connect

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/metrics"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// gateAt makes a gate of that size and the clock that it goes by.
func gateAt(size int) (*Gate, *atomic.Int64) {
	var clock atomic.Int64
	clock.Store(time.Date(2030, 5, 6, 7, 8, 9, 0, time.UTC).UnixNano())
	return newGate("forge", size, func() time.Time { return time.Unix(0, clock.Load()).UTC() }, metrics.New()), &clock
}

// crowd is calls that are inside of a gate until they are let go.
type crowd struct {
	t      *testing.T
	goOn   chan struct{}
	inside atomic.Int32
	all    sync.WaitGroup
}

func newCrowd(t *testing.T) *crowd {
	c := &crowd{t: t, goOn: make(chan struct{})}
	t.Cleanup(c.leave)
	return c
}

func (c *crowd) enter(g *Gate, call Call, n int) {
	for range n {
		c.all.Go(func() {
			_ = g.Do(c.t.Context(), call, func(context.Context) error {
				c.inside.Add(1)
				defer c.inside.Add(-1)
				<-c.goOn
				return nil
			})
		})
	}
}

// settles holds that exactly so many come in.
func (c *crowd) settles(n int32) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return c.inside.Load() == n }, 10*time.Second, time.Millisecond, "%d inside", n)
	require.Never(c.t, func() bool { return c.inside.Load() > n }, 30*time.Millisecond, time.Millisecond)
}

func (c *crowd) leave() {
	select {
	case <-c.goOn:
	default:
		close(c.goOn)
	}
	c.all.Wait()
}

func TestSoManyAtOnceAndNoMore(t *testing.T) {
	g, _ := gateAt(3)
	c := newCrowd(t)
	c.enter(g, Mint, 10)
	c.settles(3)
	c.leave()
	require.Zero(t, c.inside.Load())
}

func TestRevocationsLeaveAQuarterToMints(t *testing.T) {
	for size, most := range map[int]int32{1: 1, 2: 1, 4: 3, 8: 6, 64: 48} {
		g, _ := gateAt(size)
		c := newCrowd(t)
		c.enter(g, Revoke, size+5)
		c.settles(most)
		if int32(size) > most {
			c.enter(g, Mint, size)
			c.settles(int32(size))
		}
		c.leave()
	}
}

func TestAGateOfAnotherSizeHoldsForTheCallsThatCome(t *testing.T) {
	g, _ := gateAt(2)
	before := newCrowd(t)
	before.enter(g, Mint, 2)
	before.settles(2)
	g.resize(5)
	require.Equal(t, 5, g.Size())
	after := newCrowd(t)
	after.enter(g, Mint, 9)
	after.settles(5)
	before.leave() // gives its places back where it took them
	after.settles(5)
	after.leave()
	g.resize(1)
	last := newCrowd(t)
	last.enter(g, Mint, 3)
	last.settles(1)
}

func TestATurnThatDoesNotComeInTime(t *testing.T) {
	g, _ := gateAt(1)
	c := newCrowd(t)
	c.enter(g, Mint, 1)
	c.settles(1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	for _, call := range []Call{Mint, Revoke, Other} {
		err := g.Do(ctx, call, func(context.Context) error { panic("it is not its turn") })
		require.True(t, fault.Is(err, fault.Unavailable), err)
		require.ErrorContains(t, err, "max_concurrency 1")
	}
	c.leave()
	require.NoError(t, g.Do(t.Context(), Revoke, func(context.Context) error { return nil }), "those that gave up hold no place")
}

func TestALimitShutsTheGateForAsLongAsThePlatformSays(t *testing.T) {
	g, clock := gateAt(4)
	limit := func(wait time.Duration) error {
		return g.Do(t.Context(), Mint, func(context.Context) error { return fault.LimitedFor(wait, "slow down") })
	}
	require.True(t, fault.Is(limit(30*time.Second), fault.Limited))
	require.Equal(t, 30*time.Second, g.Limited())
	clock.Add(int64(10 * time.Second))
	for _, call := range []Call{Mint, Revoke, Other} {
		err := g.Do(t.Context(), call, func(context.Context) error { panic("the platform is to be left alone") })
		require.True(t, fault.Is(err, fault.Limited), err)
		require.Equal(t, 20*time.Second, fault.RetryAfter(err))
	}
	clock.Add(int64(20 * time.Second))
	require.Zero(t, g.Limited())
	require.NoError(t, g.Do(t.Context(), Mint, func(context.Context) error { return nil }))
}

func TestThoseInTheQueueHearOfALimitToo(t *testing.T) {
	g, _ := gateAt(4)
	var sent, limited atomic.Int32
	var all sync.WaitGroup
	limit := make(chan struct{})
	for range 200 {
		all.Go(func() {
			err := g.Do(t.Context(), Mint, func(context.Context) error {
				sent.Add(1)
				<-limit
				return fault.LimitedFor(time.Minute, "slow down")
			})
			if fault.Is(err, fault.Limited) {
				limited.Add(1)
			}
		})
	}
	require.Eventually(t, func() bool { return sent.Load() == 4 }, 10*time.Second, time.Millisecond)
	close(limit)
	all.Wait()
	require.EqualValues(t, 4, sent.Load(), "only those that were under way")
	require.EqualValues(t, 200, limited.Load())
}

func TestALaterShorterLimitDoesNotOpenTheGate(t *testing.T) {
	g, _ := gateAt(4)
	g.learn(fault.LimitedFor(time.Minute, "one"))
	g.learn(fault.LimitedFor(time.Second, "another that was in flight"))
	require.Equal(t, time.Minute, g.Limited())
}

func TestOtherFailuresShutNothing(t *testing.T) {
	g, _ := gateAt(4)
	for _, err := range []error{
		nil, errors.New(http.StatusText(500)), fault.New(fault.Unavailable, "down"), fault.New(fault.Refused, "no"), fault.New(fault.Limited, "for no time"),
	} {
		require.Equal(t, err, g.Do(t.Context(), Mint, func(context.Context) error { return err }))
		require.Zero(t, g.Limited())
	}
}
