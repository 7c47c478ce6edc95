package flow

import (
	"sync/atomic"
	"time"
)

// Route is what all flows to one host share: the least round trip any of them
// saw. A flow that starts while others fill the queue would otherwise take
// their queue for the path's length. Safe for concurrent use.
type Route struct {
	least atomic.Int64 // nanoseconds, 0 before the first sample
	seen  atomic.Int64 // Time when a round trip near it was seen
}

const (
	// routeMemory is how long a round trip that nobody sees any more is
	// believed.
	routeMemory = time.Minute
	// lanLeave is what a path that was a LAN must have become to be none: many
	// flows between two hosts hold a queue of several milliseconds there.
	lanLeave = 10 * time.Millisecond
)

// sample records a round trip.
func (r *Route) sample(now Time, rtt time.Duration) {
	least := time.Duration(r.least.Load())
	switch {
	case least == 0 || rtt < least || now.Sub(Time(r.seen.Load())) > routeMemory:
		r.least.Store(int64(rtt))
	case rtt > least+least/4:
		return
	}
	r.seen.Store(int64(now))
}

// rtt is the least round trip, 0 if none is known.
func (r *Route) rtt() time.Duration { return time.Duration(r.least.Load()) }

// Least returns the least round trip seen, and when one near it was seen last; 0
// if none is known.
func (r *Route) Least() (rtt time.Duration, seen Time) { return r.rtt(), Time(r.seen.Load()) }
