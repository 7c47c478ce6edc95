package flowset

import (
	"math"
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// better reports whether p is a better flow than q for what must arrive soon:
// one that works, cheap, near. q may be nil.
func better(p, q *path) bool {
	switch {
	case q == nil:
		return true
	case p.state != q.state:
		return p.state < q.state // Active, Suspect, Down
	case p.price() != q.price():
		return p.price() < q.price()
	}
	return p.f.RTT() < q.f.RTT()
}

// best is the flow for what concerns the whole connection, nil if nothing may
// leave on any.
func (c *Conn) best() (best *path) {
	for _, p := range c.paths {
		if p.state.open() && better(p, best) {
			best = p
		}
	}
	return best
}

// probe returns a flow that must be asked for a sign of life.
func (c *Conn) probe() *path {
	for _, p := range c.paths {
		if p.ping && p.state != Parked {
			return p
		}
	}
	return nil
}

// longestRTT is the longest round trip of the flows in use.
func (c *Conn) longestRTT() (d time.Duration) {
	for _, p := range c.paths {
		if p.state == Active || d == 0 {
			d = max(d, p.f.RTT())
		}
	}
	return d
}

// schedule chooses the flow that the next train of data leaves on; nil if all
// that would be of use are held back. It leaves in pending which those are.
func (c *Conn) schedule(now flow.Time) *path {
	if len(c.paths) == 1 {
		p := c.paths[0]
		if p.pending = p.carries(); p.pending && p.f.Budget(now) > 0 {
			return p
		}
		return nil
	}
	return c.aggregate(now)
}

// candidates calls f for all flows of the cheapest cost that work, or else of
// those that are silent.
func (c *Conn) candidates(f func(p *path)) {
	state, price := Parked, 255
	for _, p := range c.paths {
		p.pending = false
		if !p.state.open() || !p.carries() {
			continue
		}
		if p.state < state || p.state == state && int(p.price()) < price {
			state, price = p.state, int(p.price())
		}
	}
	for _, p := range c.paths {
		if p.state == state && p.state.open() && int(p.price()) == price {
			f(p)
		}
	}
}

// aggregate places a train where it arrives first. A slow flow is used only if
// a faster one would need longer for all that waits (as in ECF, CoNEXT 2017).
func (c *Conn) aggregate(now flow.Time) (chosen *path) {
	backlog := c.toSend()
	var soonest *path // to deliver all of the backlog on its own
	soon, first := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	c.candidates(func(p *path) {
		budget := p.f.Budget(now)
		d := p.f.Delay()
		p.pending = true
		if all := d + time.Duration(min(float64(backlog)/p.f.Rate(), 1e6)*1e9); all < soon {
			soonest, soon = p, all
		}
		if budget > 0 && d < first {
			chosen, first = p, d
		}
	})
	if chosen != nil && chosen != soonest && soon < first {
		for _, p := range c.paths {
			if p.pending = p == soonest; !p.pending {
				p.f.AppLimited()
			}
		}
		return nil
	}
	return chosen
}

// toSend is how many bytes wait for a flow.
func (c *Conn) toSend() uint64 {
	s := &c.snd
	if !s.lost.empty() {
		var n uint64
		for _, l := range s.lost.s {
			n += l.to - l.from
		}
		return n
	}
	return s.end - s.next
}
