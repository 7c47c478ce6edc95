package flowset

import (
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// Failing back must not make things worse: a flow must have been better for
// provenFor, and for longer if it failed before.
const (
	provenFor  = flow.Time(time.Second)
	mostHold   = flow.Time(30 * time.Second)
	nearerThan = 0.7 // of the round trip counts as nearer
)

// standby is what failover mode remembers.
type standby struct {
	on       *path     // carries everything
	rival    *path     // would do better
	since    flow.Time // has been so for
	hold     flow.Time // how long that takes to count
	switched flow.Time
}

// failover chooses the flow that carries everything: the cheapest, of those the
// nearest, of those the first. It leaves that flow at once when it is silent,
// and returns when it, or another, has been better for some time.
func (c *Conn) failover(now flow.Time) *path {
	s := &c.standby
	best := c.preferred()
	if best == nil {
		return nil
	}
	switch {
	case s.on == nil:
		s.on, s.hold = best, provenFor
	case best.state < s.on.state || !s.on.state.open() || !s.on.carries():
		if s.switched > 0 && now-s.switched < 4*s.hold {
			s.hold = min(2*s.hold, mostHold)
		} else {
			s.hold = provenFor
		}
		s.on, s.rival, s.switched = best, nil, now
	case best == s.on:
		s.rival = nil
	case best != s.rival:
		s.rival, s.since = best, now
	case now-max(s.since, best.since) >= s.hold:
		s.on, s.rival, s.switched = best, nil, now
	}
	for _, p := range c.paths {
		if p != s.on && p.state.open() {
			p.spare(now)
		}
	}
	s.on.pending = true
	if s.on.f.Budget(now) > 0 {
		return s.on
	}
	return nil
}

// preferred is the flow that would carry everything if none did yet.
func (c *Conn) preferred() (best *path) {
	c.usable(func(p *path) {
		if best == nil || nearer(p, best) {
			best = p
		}
	})
	return best
}

// nearer reports whether p's path is clearly shorter. A queue, which may be our
// own, does not make it longer.
func nearer(p, q *path) bool { return float64(p.f.MinRTT()) < nearerThan*float64(q.f.MinRTT()) }
