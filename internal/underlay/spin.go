package underlay

import (
	"runtime"
	"time"
)

// Polling pays when the next datagram comes sooner than the processor would
// wake from its sleep, which takes some 55 us on a virtual machine.
const (
	spinFor   = 100 * time.Microsecond // longest poll
	trialFor  = 150 * time.Microsecond // longest poll of a trial
	nearBy    = 250 * time.Microsecond // a gap that may be two wake-ups
	pause     = 10 * time.Millisecond  // a gap after which all starts afresh
	startNear = 4                      // near gaps that start a trial
	trialLen  = 12                     // polls in a trial
	maxCredit = 16
	minRest   = 5 * time.Millisecond // between trials, doubled after each failure
	maxRest   = 500 * time.Millisecond
)

// spin decides how long a reader polls its empty socket before it sleeps.
//
//	off ── several near gaps, rested ──▸ trial ── most gaps < 100 us ──▸ on
//	 ▴─────────────── few hits ───────────┘                            │
//	 └───────────────────────────── credit used up ────────────────────┘
//
// The trial exists because two peers that both sleep between request and
// response see gaps of two wake-ups, and only learn that these vanish when
// both poll. A peer sees the same gaps and pauses, hence tries at the same
// time; and the trial polls long enough to outlast one wake-up.
type spin struct {
	state  spinState
	near   int           // near gaps in a row, while off
	polls  int           // so far in this trial
	hits   int           // of them within spinFor
	credit int           // left, while on
	rest   time.Duration // after the last trial
	after  time.Duration // earliest start of the next
}

type spinState uint8

const (
	spinOff spinState = iota
	spinTrial
	spinOn
)

// budget is how long to poll now, 0 for not at all.
func (s *spin) budget() time.Duration {
	switch s.state {
	case spinTrial:
		return trialFor
	case spinOn:
		return spinFor
	}
	return 0
}

// woke notes a datagram that came gap after the reader found no more, while
// it slept.
func (s *spin) woke(now, gap time.Duration) {
	switch {
	case gap > pause:
		*s = spin{}
	case gap > nearBy:
		s.near = 0
	default:
		s.near++
	}
	if s.state == spinOff && s.near >= startNear && now >= s.after && cpus > 1 {
		*s = spin{state: spinTrial, rest: s.rest}
	}
}

// hit notes a datagram that came while polling.
func (s *spin) hit(now, gap time.Duration) {
	if s.state == spinTrial {
		if gap <= spinFor {
			s.hits++
		}
		s.judge(now)
		return
	}
	s.credit = min(s.credit+1, maxCredit)
}

// miss notes that none came.
func (s *spin) miss(now time.Duration) {
	if s.state == spinTrial {
		s.judge(now)
		return
	}
	if s.credit -= 2; s.credit <= 0 {
		*s = spin{rest: minRest, after: now + minRest}
	}
}

// judge ends a trial that is long enough.
func (s *spin) judge(now time.Duration) {
	if s.polls++; s.polls < trialLen {
		return
	}
	if s.hits >= trialLen/2 {
		*s = spin{state: spinOn, credit: maxCredit / 2}
		return
	}
	rest := min(max(2*s.rest, minRest), maxRest)
	*s = spin{rest: rest, after: now + rest}
}

var (
	cpus  = runtime.NumCPU() // polling on the only one would keep the peer from it
	start = time.Now()
)

// clock is a monotonic time.
func clock() time.Duration { return time.Since(start) }
