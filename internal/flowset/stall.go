package flowset

import (
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// stall measures for how long one direction of the stream stood still although
// it should not have: bytes that left and of which none is acknowledged, bytes
// that came and wait for earlier ones, or a flow in full swing that fell silent
// and does not answer. A round trip and a half is no stall.
type stall struct {
	since   flow.Time // 0 while nothing is expected
	longest time.Duration
}

// expect begins to wait, unless it has begun.
func (s *stall) expect(since flow.Time) {
	if s.since == 0 {
		s.since = since
	}
}

// progress ends the wait; more says that the next begins.
func (s *stall) progress(now flow.Time, rtt time.Duration, more bool) {
	if s.since != 0 {
		s.longest = max(s.longest, s.length(now, rtt))
	}
	if s.since = 0; more {
		s.since = now
	}
}

// length is how long it has stood still.
func (s *stall) length(now flow.Time, rtt time.Duration) time.Duration {
	if d := now.Sub(s.since); s.since != 0 && d > rtt*3/2+quietSlack {
		return d
	}
	return 0
}

// Stalled returns for how long the stream has been standing still at the moment,
// 0 if it has not.
func (c *Conn) Stalled(now flow.Time) time.Duration {
	rtt := c.longestRTT()
	return max(c.in.length(now, rtt), c.out.length(now, rtt))
}

// onAcks takes note of an acknowledgement after which everything before una is
// acknowledged.
func (c *Conn) onAcks(now flow.Time, before uint64) {
	if una := c.snd.una; una != before {
		c.out.progress(now, c.longestRTT(), una < c.snd.next)
	}
}

// onStream takes note of how far the incoming stream came after having stood at
// before.
func (c *Conn) onStream(now flow.Time, rtt time.Duration, before uint64) {
	hole := c.rcv.pieces.len() > 0
	if c.rcv.next != before {
		c.in.progress(now, rtt, hole)
		c.lastIn = now
	} else if hole {
		c.in.expect(now)
	}
}
