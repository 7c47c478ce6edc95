package flowset

import (
	"math"
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// cubic is RFC 9438 with HyStart as in Linux (net/ipv4/tcp_cubic.c).
type cubic struct {
	cwnd, ssthresh, wMax, k float64
	epoch                   flow.Time
	west                    float64 // Reno-friendly estimate
	recover                 uint64
	minRTT                  time.Duration

	roundEnd   uint64
	roundStart flow.Time
	lastAck    flow.Time
	roundMin   time.Duration
	samples    int
}

func newCubic() *cubic { return &cubic{cwnd: 10, ssthresh: math.Inf(1)} }

func (c *cubic) window() float64 { return c.cwnd }
func (c *cubic) pace() float64   { return 0 }

func (c *cubic) acked(now flow.Time, a tcpAck) {
	if c.minRTT == 0 || a.rtt < c.minRTT {
		c.minRTT = a.rtt
	}
	if a.pn < c.recover {
		return
	}
	if c.cwnd < c.ssthresh {
		c.hystart(now, a)
		c.cwnd++
		return
	}
	if float64(a.inflight) < c.cwnd/2 { // not limited by the window
		return
	}
	const C, beta = 0.4, 0.7
	if c.epoch == 0 {
		c.epoch = now
		if c.cwnd < c.wMax {
			c.k = math.Cbrt((c.wMax - c.cwnd) / C)
		} else {
			c.k, c.wMax = 0, c.cwnd
		}
		c.west = c.cwnd
	}
	d := now.Sub(c.epoch).Seconds() + c.minRTT.Seconds() - c.k
	target := min(c.wMax+C*d*d*d, 1.5*c.cwnd)
	c.west += 3 * (1 - beta) / (1 + beta) / c.cwnd
	target = max(target, c.west)
	if target > c.cwnd {
		c.cwnd += (target - c.cwnd) / c.cwnd
	} else {
		c.cwnd += 0.01 / c.cwnd
	}
}

// hystart leaves slow start when the round's first samples show a queue, or
// when a train of acknowledgements is as long as half the round trip.
func (c *cubic) hystart(now flow.Time, a tcpAck) {
	if a.pn >= c.roundEnd {
		c.roundEnd, c.roundStart, c.lastAck = a.next, now, now
		c.roundMin, c.samples = math.MaxInt64, 0
	}
	if now.Sub(c.lastAck) <= 2*time.Millisecond {
		c.lastAck = now
		if c.cwnd >= 16 && now.Sub(c.roundStart) > c.minRTT/2 {
			c.ssthresh = c.cwnd
		}
	}
	if c.samples < 8 {
		c.samples++
		c.roundMin = min(c.roundMin, a.rtt)
	} else if c.cwnd >= 16 && c.roundMin > c.minRTT+min(max(c.minRTT/8, 4*time.Millisecond), 16*time.Millisecond) {
		c.ssthresh = c.cwnd
	}
}

func (c *cubic) lost(_ flow.Time, pn, next uint64, _, _ int) {
	if pn < c.recover {
		return
	}
	c.recover, c.epoch = next, 0
	if c.cwnd < c.wMax {
		c.wMax = c.cwnd * 0.85 // fast convergence
	} else {
		c.wMax = c.cwnd
	}
	c.cwnd = max(2, c.cwnd*0.7)
	c.ssthresh = c.cwnd
}

func (c *cubic) timeout() {
	c.wMax, c.ssthresh, c.cwnd, c.epoch = c.cwnd, max(2, c.cwnd*0.7), 1, 0
}
