package flowset

import (
	"math"
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// spareProbe is how often a flow is measured that is not used while others are.
const spareProbe = time.Second

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

// schedule chooses the flow that the next train leaves on; nil if all that would
// be of use are held back. It leaves in pending which those are.
func (c *Conn) schedule(now flow.Time) *path {
	if len(c.paths) == 1 {
		p := c.paths[0]
		if p.pending = p.carries(); p.pending && p.f.Budget(now) > 0 {
			return p
		}
		return nil
	}
	for _, p := range c.paths {
		p.pending = false
	}
	switch c.Mode() {
	case ModeFailover:
		return c.failover(now)
	case ModeRedundant:
		return c.redundant(now)
	}
	return c.aggregate(now)
}

// usable calls f for the flows that may carry data: the cheapest that work, or
// else those that are silent.
func (c *Conn) usable(f func(p *path)) {
	state, price := Parked, 255
	for _, p := range c.paths {
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

// aggregate places a train where it arrives first. A slower flow carries
// something only if the fastest would need longer for all that waits, as in ECF
// (CoNEXT 2017), and if what the fastest carries meanwhile fits the peer's
// window, as in BLEST (IFIP Networking 2016): so messages and the ends of long
// transfers stay on the fast flow, while bulk uses the sum.
func (c *Conn) aggregate(now flow.Time) (chosen *path) {
	backlog := c.backlog(now)
	var fastest *path // delivers all of the backlog first, on its own
	least, first := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	c.usable(func(p *path) {
		budget := p.f.Budget(now)
		d := p.f.Delay()
		p.pending = true
		if all := d + flow.Seconds(backlog/p.f.Rate()); all < least {
			fastest, least = p, all
		}
		if budget > 0 && d < first {
			chosen, first = p, d
		}
	})
	if chosen == nil || chosen == fastest || first <= least && first-fastest.f.Delay() < maxApart && c.windowFits(fastest, first) {
		return chosen
	}
	for _, p := range c.paths {
		if p.pending = p == fastest; !p.pending {
			p.spare(now)
		}
	}
	return nil
}

// windowFits reports whether the peer's window lets the fastest flow go on for
// as long as a train on another takes, so that the two may meet in the
// receiver's buffer.
func (c *Conn) windowFits(fastest *path, d time.Duration) bool {
	s := &c.snd
	if !s.lost.empty() || s.end <= s.limit {
		return true
	}
	meanwhile := (d - fastest.f.RTT()/2).Seconds() * fastest.f.Rate()
	return meanwhile < float64(s.limit-min(s.next, s.limit))
}

// backlog is how many bytes wait for a flow. What has been going on for some
// time is believed to go on for a quarter of it.
func (c *Conn) backlog(now flow.Time) float64 {
	s := &c.snd
	if c.dgrams.n > 0 {
		return float64(c.dgrams.n) * flow.BaseMTU
	}
	if !s.lost.empty() {
		return float64(s.lost.size())
	}
	n := float64(s.end - s.next)
	if n < minBacklog/2 || s.fin {
		c.bulkSince = 0
		return n
	}
	if c.bulkSince == 0 {
		c.bulkSince, c.bulkFrom = now, s.next
	}
	return max(n, float64(s.next-c.bulkFrom)/4)
}

// relieve moves what is in flight on flows that became far slower to the
// fastest, as far as that is of use: the stream would stand still for as long.
func (c *Conn) relieve(now flow.Time) {
	for _, p := range c.paths {
		n := p.f.Slow()
		if n == p.slow {
			continue
		}
		p.slow = n
		if fast := c.fastest(); n > 0 && fast != nil && fast != p {
			p.f.Overtake(now, fast.f.Delay()+rescueSlack, c.snd.end, c)
		}
	}
}

// fastest is the flow on which a byte handed over now arrives first.
func (c *Conn) fastest() (fast *path) {
	c.usable(func(p *path) {
		if fast == nil || p.f.Delay() < fast.f.Delay() {
			fast = p
		}
	})
	return fast
}

// rescue is called when there is nothing to send, or no credit for it. What
// slow flows still carry leaves again on the fastest if that brings it there
// sooner: the end of a message, and what the window waits for. It reports
// whether there is something to send now.
func (c *Conn) rescue(now flow.Time) bool {
	s := &c.snd
	if len(c.paths) == 1 || s.una == s.end {
		return false
	}
	fast := c.fastest()
	if fast == nil || fast.f.Budget(now) == 0 {
		return false
	}
	to := s.end
	if s.next < s.end {
		to = s.una + rescueBytes
	}
	d := fast.f.Delay() + rescueSlack
	for _, p := range c.paths {
		if p != fast && p.f.InFlight() > 0 && p.f.RTT() > fast.f.RTT() {
			p.f.Overtake(now, d, to, c)
		}
	}
	return c.ready()
}

const (
	// maxApart is how much later than on the fastest flow a byte may arrive: so
	// long the stream may stand still when a slower flow comes into use, and so
	// much of it waits at the receiver.
	maxApart = 150 * time.Millisecond
	// rescueBytes is how much is sent again at a time of what the window waits
	// for.
	rescueBytes = 64 << 10
	// rescueSlack keeps flows of about the same length from sending each
	// other's bytes.
	rescueSlack = 5 * time.Millisecond
)

// spare takes note that p carries nothing although there is something to send.
// How long it takes must still be known.
func (p *path) spare(now flow.Time) {
	p.f.AppLimited()
	if p.state == Active && now.Sub(p.f.Sampled()) > spareProbe && p.f.InFlight() == 0 {
		p.ping = true
	}
}
