package flowset

import (
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// In redundant mode each flow is a sender of its own: it has a cursor and sends
// from there what is not acknowledged. What one flow lost is repaired only if
// the copy on another does not arrive soon either, so that a path that fails
// takes nothing along and leaves nothing to do.
const (
	// lead is how far the flow in front may be ahead of one that is about as
	// fast: so much is missing when the former fails.
	lead = 5 * time.Millisecond
	// asFast is the share of a rate that counts as about as fast. Who is slower
	// is not waited for, and protects what it can.
	asFast = 0.8
)

// doubt is what was lost on one flow and may be on its way on another.
type doubt struct {
	set   rangeSet
	until flow.Time // then it is lost; 0 if not yet set
}

// mirrors reports whether data leaves on several flows.
func (c *Conn) mirrors() bool { return len(c.paths) > 1 && c.Mode() == ModeRedundant }

// redundant chooses the flow that is furthest behind.
func (c *Conn) redundant(now flow.Time) (chosen *path) {
	s := &c.snd
	limit := min(s.end, s.limit)
	state, rate := c.front()
	for _, p := range c.paths {
		if p.state != state || !p.carries() {
			continue
		}
		from, _ := s.acked.gap(max(p.cursor, s.una))
		p.cursor = min(from, s.next)
		if float64(s.next-p.cursor) > 2*lead.Seconds()*rate+float64(p.f.MTU()) {
			p.skip(s.next) // nothing before it would come in time
		}
		p.settled(s)
		if c.dgrams.on == p && c.dgrams.n > 0 {
			continue // carried it already
		}
		repairs := !s.lost.empty() || !p.again.empty()
		if p.cursor >= limit && !c.finDue(p) && !repairs && c.dgrams.n == 0 {
			p.f.AppLimited()
			continue
		}
		if p.cursor == s.next && !repairs && c.dgrams.n == 0 && c.tooFarAhead(p) {
			continue
		}
		p.pending = true
		if p.f.Budget(now) > 0 && (chosen == nil || p.cursor < chosen.cursor) {
			chosen = p
		}
	}
	return chosen
}

// front returns the best state that a flow which may carry data has, and the
// highest rate of those flows.
func (c *Conn) front() (state State, rate float64) {
	state = Parked
	for _, p := range c.paths {
		if p.state.open() && p.carries() {
			if p.state < state {
				state, rate = p.state, 0
			}
			if p.state == state {
				rate = max(rate, p.f.Rate())
			}
		}
	}
	return state, rate
}

// tooFarAhead reports whether p, which is in front, should wait for others.
func (c *Conn) tooFarAhead(p *path) bool {
	rate := p.f.Rate()
	for _, q := range c.paths {
		if q != p && q.state == p.state && q.carries() && !q.f.Limited() && q.f.Rate() > asFast*rate &&
			float64(c.snd.next-max(q.cursor, c.snd.una)) > lead.Seconds()*rate {
			return true
		}
	}
	return false
}

// others reports whether another flow could carry data, too.
func (c *Conn) others(p *path) bool {
	for _, q := range c.paths {
		if q != p && q.works() {
			return true
		}
	}
	return false
}

// lostOne takes note that the copy of [from, to) on f is lost. If another is on
// its way it may yet arrive; what is lost for the second time will not.
func (c *Conn) lostOne(f *flow.Flow, from, to uint64) {
	if from = max(from, c.snd.una); from >= to {
		return
	}
	if !c.copied(f, from, to) {
		c.snd.onLost(from, int(to-from))
		return
	}
	d, first := &c.doubt.set, rangeSet{[]span{{from, to}}}
	for _, again := range d.s {
		if again.from < to && again.to > from {
			first.remove(again.from, again.to)
			again.from, again.to = max(again.from, from), min(again.to, to)
			c.snd.onLost(again.from, int(again.to-again.from))
		}
	}
	d.remove(from, to)
	for _, l := range first.s {
		d.add(l.from, l.to)
	}
}

// copied reports whether another flow that works has sent all of [from, to).
func (c *Conn) copied(f *flow.Flow, from, to uint64) bool {
	for _, p := range c.paths {
		if p.f != f && p.works() && p.cursor >= to {
			if at, next := p.skipped.gap(from); at == from && next >= to {
				return true
			}
		}
	}
	return false
}

// skip moves the cursor on, to what p is to send next.
func (p *path) skip(to uint64) {
	p.skipped.add(p.cursor, to)
	p.cursor = to
}

// settled forgets what has been acknowledged meanwhile.
func (p *path) settled(s *sender) {
	p.skipped.remove(0, s.una)
	p.again.remove(0, s.una)
	for !p.again.empty() {
		first := p.again.s[0]
		from, _ := s.acked.gap(first.from)
		if from == first.from {
			return
		}
		p.again.remove(first.from, from)
	}
}

// resolve decides what became of the bytes in doubt.
func (c *Conn) resolve(now flow.Time) {
	if d := &c.doubt; d.until != 0 && now >= d.until {
		c.despair()
	}
}

// despair takes all that is in doubt to be lost.
func (c *Conn) despair() {
	for _, s := range c.doubt.set.s {
		c.snd.onLost(s.from, int(s.to-s.from))
	}
	c.doubt = doubt{}
}

// doubted sets the time until which a copy is given to arrive. Its own flow
// notices sooner if it is lost.
func (c *Conn) doubted(now flow.Time) {
	if d := &c.doubt; d.until == 0 && !d.set.empty() {
		d.until = now.Add(c.longestRTT() + 2*lead)
	}
}

// remode adapts to a mode that may have changed.
func (c *Conn) remode() {
	c.despair()
	c.standby = standby{}
	c.dgrams.on = nil
	for _, p := range c.paths {
		p.fresh(c.snd.next)
	}
}

// fresh makes p send what comes from next on, and nothing from before.
func (p *path) fresh(next uint64) {
	p.skipped, p.again, p.finSent = rangeSet{}, rangeSet{}, false
	p.cursor = 0
	p.skip(next)
}

// pick chooses the next run for p, at most n bytes.
func (c *Conn) pick(p *path, n int) (off uint64, size int, repair bool) {
	s := &c.snd
	if !c.mirrors() || !s.lost.empty() {
		return s.pick(n)
	}
	if !p.again.empty() {
		first := p.again.s[0]
		return first.from, int(min(uint64(n), first.to-first.from)), true
	}
	if p.cursor >= s.next {
		return s.pick(n)
	}
	from, to := s.acked.gap(p.cursor)
	if p.cursor = from; from >= s.next {
		return s.pick(n)
	}
	return from, int(min(uint64(n), min(to, s.next)-from)), true
}

// took records that p carries pick's choice. What was lost on all flows leaves
// on all again.
func (c *Conn) took(p *path, off uint64, n int, repair bool) {
	to := off + uint64(n)
	if c.mirrors() {
		if repair && !c.snd.lost.empty() {
			for _, q := range c.paths {
				if q != p && q.works() {
					q.again.add(off, to)
				}
			}
		}
		p.again.remove(off, to)
		p.skipped.remove(off, to)
	}
	c.snd.took(off, n, repair)
	if p.cursor >= off {
		p.cursor = max(p.cursor, to)
	}
}

// finDue reports whether the end of the stream is still to leave on p.
func (c *Conn) finDue(p *path) bool {
	s := &c.snd
	if !s.fin || s.finAcked {
		return false
	}
	if c.mirrors() {
		return !p.finSent
	}
	return !s.finSent
}
