package load

import (
	"context"
	"slices"
	"time"
)

// series makes Conns dials one after another, one every For, and reports how
// long the answers took, in ms, and how many dials failed. It first waits until
// the service can be reached.
func (c client) series(ctx context.Context) (Result, error) {
	tick := time.NewTicker(c.For)
	defer tick.Stop()
	for c.dialOnce(ctx) != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	var times []time.Duration
	failed := 0
	for range c.Conns {
		<-tick.C
		start := time.Now()
		if c.dialOnce(ctx) != nil {
			failed++
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	last := len(times) - 1
	return Result{
		"p50":    micro(times[last/2]) / 1000,
		"p99":    micro(times[last*99/100]) / 1000,
		"max":    micro(times[last]) / 1000,
		"failed": float64(failed),
	}, nil
}
