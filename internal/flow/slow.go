package flow

import "time"

// slowness notices within about a round trip that a path delivers far less than
// its model says. The model takes its time to believe that, which is right for
// a path on its own; where there is another, what waits here had better leave
// there.
type slowness struct {
	since   Time
	settled uint64  // by then, bytes
	due     int     // in flight by then: all of it should have arrived a look later
	rate    float64 // what it really delivers, bytes per second; 0 if about what is expected
	looks   int
}

const slowSlack = 15 * time.Millisecond

// restart begins a new look.
func (s *slowness) restart(now Time, settled uint64, inflight int) {
	s.since, s.settled, s.due = now, settled, inflight
}

// look compares, once per round trip, what was settled with what was expected.
func (f *Flow) look(now Time) {
	s := &f.slow
	span := now.Sub(s.since)
	if span < f.model.minRTT+slowSlack {
		return
	}
	got := float64(f.settled - s.settled)
	expected := min(float64(s.due), 0.9*f.model.bandwidth()*span.Seconds())
	switch {
	case s.due < 4*f.mtu.current:
	case got < expected/2:
		s.rate = max(got, float64(f.mtu.current)/2) / span.Seconds()
		s.looks++
	default:
		s.rate = 0
	}
	s.restart(now, f.settled, f.inflight)
}

// Slow returns how often the path was found to be far slower than it was, 0
// while it is not.
func (f *Flow) Slow() int {
	if f.slow.rate == 0 {
		return 0
	}
	return f.slow.looks
}
