package flowset

import (
	"cmp"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/pkg/sal"
)

// path is a flow and what the connection knows of it.
type path struct {
	f        *flow.Flow
	state    State
	since    flow.Time // of the state
	cost     uint8     // ours
	peerCost uint8
	ping     bool     // a PING is owed on it, in spite of window and pacing
	pending  bool     // it would carry data if pacing and window let it
	slow     int      // of flow.Slow, as far as was acted upon
	cursor   uint64   // redundant mode: what comes next
	finSent  bool     // and whether the end has
	skipped  rangeSet // of what is before the cursor, what never left here
	again    rangeSet // repairs that left on another, and are to leave here too
	bulk     int      // bytes of stream that came since it was last asked why it is silent
	quiet    bool     // it has been asked, and nothing came since
}

// price is the effective cost: who must not receive on it must not be sent to.
func (p *path) price() uint8 { return max(p.cost, p.peerCost) }

// carries reports whether data may travel on it, as far as costs go.
func (p *path) carries() bool { return p.price() != sal.NeverCost }

// works reports whether data on it arrives, as far as is known.
func (p *path) works() bool { return p.state == Active && p.carries() }

// AddFlow adds a path in state s. Its Index must be its position in the set.
func (c *Conn) AddFlow(f *flow.Flow, s State) {
	p := &path{f: f, state: s, since: f.LastHeard()}
	if int(f.Index) < len(c.peerCosts) {
		p.peerCost = c.peerCosts[f.Index]
	}
	c.paths = append(c.paths, p)
	c.helped()
}

func (c *Conn) path(i uint8) *path {
	if int(i) < len(c.paths) {
		return c.paths[i]
	}
	return nil
}

// Flows is how many flows there are, in whatever state.
func (c *Conn) Flows() int { return len(c.paths) }

// Flow returns the flow with that index, nil if there is none.
func (c *Conn) Flow(i uint8) *flow.Flow {
	if p := c.path(i); p != nil {
		return p.f
	}
	return nil
}

// State returns the state of flow i; one that does not exist is Parked.
func (c *Conn) State(i uint8) State {
	if p := c.path(i); p != nil {
		return p.state
	}
	return Parked
}

// Moved says that flow i has a new path that is validated: what was learnt of
// the old one is forgotten, what is in flight there leaves again, and the flow
// is Active. The parameters are those of flow.Flow.Moved.
func (c *Conn) Moved(now flow.Time, i uint8, rtt time.Duration, linkMTU int, route *flow.Route) {
	p := c.path(i)
	if p == nil {
		return
	}
	p.f.Moved(now, rtt, linkMTU, route, c)
	p.bulk = 0
	c.setState(now, p, Active)
}

// SetMode sets how the flows are used.
func (c *Conn) SetMode(m Mode) {
	if c.mode != m {
		c.mode = m
		c.remode()
	}
}

// Mode is how the flows are used.
func (c *Conn) Mode() Mode { return cmp.Or(c.mode, c.peerMode, ModeAggregate) }

// SetCost sets what flow i costs this end: data takes the cheapest flows that
// work. On one of cost sal.NeverCost none is sent.
func (c *Conn) SetCost(i, cost uint8) {
	if p := c.path(i); p != nil {
		p.cost = cost
		c.repriced(p)
	}
}

// repriced moves data away from a flow that may not carry it any more.
func (c *Conn) repriced(p *path) {
	c.helped()
	if !p.carries() {
		p.f.Reinject(c)
	}
}

// Probe asks for a sign of life on flow i with the next Transmit, whatever its
// window says.
func (c *Conn) Probe(i uint8) {
	if p := c.path(i); p != nil && p.state != Parked {
		p.ping = true
	}
}

const (
	// quietBytes is how much of a stream must have come on a flow for its
	// silence to be worth a question. Requests and answers are not.
	quietBytes = 32 << 10
	quietSlack = 5 * time.Millisecond
)

// quietAt is when a flow that brought a part of the stream has been silent for
// so long that it is asked why: who only receives would otherwise never learn
// that the path is gone, nor show the peer the address a NAT gave it meanwhile.
func (c *Conn) quietAt(p *path) flow.Time {
	if p.bulk < quietBytes || p.state != Active || c.rcv.finished {
		return flow.Never
	}
	return p.f.LastHeard().Add(p.f.RTT()*3/2 + quietSlack)
}
