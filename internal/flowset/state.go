package flowset

import "github.com/serval-net/serval/internal/flow"

// State is what a flow can be used for.
type State uint8

const (
	Pending State = iota // its path is not validated: path control only
	Active               // carries data
	Suspect              // silent: its data leaves again elsewhere, and it is probed
	Down                 // silent for long: probed ever more seldom
	Parked               // has no local address: nothing is sent
)

var stateNames = [...]string{"pending", "active", "suspect", "down", "parked"}

// String returns the state in lower case.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "state?"
}

// Mode is how several flows are used; the values are those of a PATHS frame.
type Mode uint8

const (
	ModeDefault   Mode = iota // what the peer wishes, or else ModeAggregate
	ModeAggregate             // the sum of all flows of the cheapest cost that work
	ModeFailover              // the best flow; the others are kept for when it fails
	ModeRedundant             // every byte on all flows, each at its own pace
)

var modeNames = [...]string{"default", "aggregate", "failover", "redundant"}

// String returns the mode in lower case.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return "mode?"
}

const (
	// downAfter and downProbes are what makes a suspect flow a dead one.
	downAfter  = flow.Time(1e9)
	downProbes = 3
)

// open reports whether packets may leave on the flow at all.
func (s State) open() bool { return s == Active || s == Suspect || s == Down }

// SetState changes the state of flow i from outside: Active when its path is
// validated, Parked when its local address is gone, and so on. What is in
// flight on a flow that is Active no more leaves again on others at once.
func (c *Conn) SetState(now flow.Time, i uint8, s State) {
	if p := c.path(i); p != nil {
		c.setState(now, p, s)
	}
}

func (c *Conn) setState(now flow.Time, p *path, s State) {
	from := p.state
	if from == s {
		return
	}
	since := now
	if from == Suspect || from == Down {
		since = p.since
	}
	p.state, p.since = s, now
	c.dgrams.on = nil
	switch s {
	case Active:
		p.fresh(c.snd.next)
		if p.quiet {
			p.quiet = false
			c.in.progress(now, c.longestRTT(), c.rcv.pieces.len() > 0)
		}
		p.f.Resume(now, since)
	case Suspect:
		if p.quiet {
			c.in.expect(c.lastIn)
		}
		p.f.Reinject(c)
		p.ping = true
	case Down:
		p.f.Abandon(c)
		p.ping = true
	case Pending, Parked:
		p.f.Abandon(c)
		p.ping, p.bulk = false, 0
	}
	c.helped()
	if from == Active {
		c.urge()
	}
	if c.onState != nil {
		c.onState(p.f.Index, from, s, now)
	}
}

// urge makes what is lost leave at once on the flows that work.
func (c *Conn) urge() {
	if n := int(c.snd.lost.size()); n > 0 && c.Mode() != ModeRedundant {
		c.usable(func(p *path) { p.f.Urge(n) })
	}
}

// silent takes note of a probe timeout of p. Where another flow can take over
// the first one is enough for suspicion: a false alarm costs but duplicates.
func (c *Conn) silent(now flow.Time, p *path) {
	n := p.f.Timeouts()
	p.ping = p.ping || len(c.paths) > 1
	switch {
	case p.state == Active && (p.f.Helped || n >= 2):
		c.setState(now, p, Suspect)
	case p.state == Suspect && n > downProbes && now-p.since >= downAfter:
		c.setState(now, p, Down)
	case p.state == Down:
		p.f.Abandon(c)
	}
}

// alive takes note of a sign of life on p: an acknowledgement of what it
// carried, or else a packet. A packet shows only that the peer's direction
// works, which is enough if there is nothing better; otherwise p waits for the
// answer to a probe, of which one leaves with the answer to that packet (heard).
func (c *Conn) alive(now flow.Time, p *path, acked bool) {
	if (p.state == Suspect || p.state == Down) && (acked || !p.f.Helped) {
		c.setState(now, p, Active)
	}
}

// helped tells each flow whether others can carry its data, so that it need not
// repeat it on a path that is silent.
func (c *Conn) helped() {
	active := 0
	for _, p := range c.paths {
		if p.works() {
			active++
		}
	}
	for _, p := range c.paths {
		others := active
		if p.works() {
			others--
		}
		p.f.Helped = others > 0
	}
}
