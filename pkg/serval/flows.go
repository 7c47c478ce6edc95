package serval

import (
	"net/netip"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
)

// Flow describes one flow of a connection at one moment.
type Flow struct {
	Index         int
	State         string // "pending", "active", "suspect", "down" or "parked" (no address to send from)
	Local, Remote netip.AddrPort
	Interface     string // of Local
	Cost          int    // to this end: 255 means that it carries no data
	Moves         int    // how often this end has moved it
	Age           time.Duration
	FlowStats
}

// Flows returns the connection's flows.
func (c *Conn) Flows() []Flow { return c.link.flows() }

func (l *link) flows() []Flow {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.node.now()
	out := make([]Flow, len(l.paths))
	for i := range l.paths {
		p := &l.paths[i]
		out[i] = Flow{Index: i, State: l.set.State(uint8(i)).String(), Local: p.socket.LocalAddr(), Remote: p.remote,
			Cost: int(l.cost(p)), Moves: p.moves, Age: now.Sub(p.began), FlowStats: p.stats()}
		if at := l.node.sockets.at(p.socket.LocalAddr()); at != nil {
			out[i].Interface = at.iface
		}
	}
	return out
}

// FlowStats counts what a flow did. Byte counts are UDP payload.
type FlowStats struct {
	RTT, MinRTT              time.Duration
	Cwnd, InFlight, MTU      int
	Rate                     float64 // estimate of the path's delivery rate, bytes per second
	Phase                    string  // of the rate model: "startup", "cruise", ...
	BytesSent, BytesReceived uint64
	Packets, Lost, Timeouts  uint64
}

// Loss is the share of packets that were lost, 0 to 1.
func (s FlowStats) Loss() float64 {
	if s.Packets == 0 {
		return 0
	}
	return float64(s.Lost) / float64(s.Packets)
}

func (p *path) stats() FlowStats {
	f := p.flow.Stats()
	return FlowStats{
		RTT: f.RTT, MinRTT: f.MinRTT, Cwnd: f.Cwnd, InFlight: f.InFlight, MTU: f.MTU, Rate: f.Rate, Phase: f.Mode,
		BytesSent: f.BytesSent, BytesReceived: f.BytesReceived,
		Packets: f.PacketsSent, Lost: f.PacketsLost, Timeouts: f.Timeouts,
	}
}

// ID names the connection in events and to servald: the flow ID that it was
// opened with, in hexadecimal.
func (c *Conn) ID() string { return c.link.id() }

func (l *link) id() string { return l.paths[0].flow.Local.String() }

// Policy returns how the connection uses its paths.
func (c *Conn) Policy() Policy {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.link.effective()
}

// effective is the policy in force: the peer's wish, or the default, where this
// end leaves it open. The caller holds mu.
func (l *link) effective() Policy {
	if l.policy.Mode != Automatic {
		return l.policy
	}
	switch l.set.Mode() {
	case flowset.ModeFailover:
		return Policy{Mode: Failover}
	case flowset.ModeRedundant:
		return Policy{Mode: Redundant}
	}
	return Policy{Mode: Aggregate}
}

// SetPolicy changes how the connection uses its paths, from now on.
func (c *Conn) SetPolicy(p Policy) error {
	if err := p.check(); err != nil {
		return c.wrap("set policy", err)
	}
	return c.wrap("set policy", c.link.setPolicy(p))
}

func (l *link) setPolicy(p Policy) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return cause(l.set.Err())
	}
	if p.Mode == Pinned && !l.node.sockets.hasInterface(p.Interface) {
		return because(ErrNoInterface, "this host has no usable interface %s", p.Interface)
	}
	now := l.node.now()
	l.policy = p
	l.set.SetMode(p.Mode.flowset())
	l.busy(0)
	l.pin(now)
	l.think = true
	l.pump(now)
	return nil
}

// pin moves a flow to the interface that the policy pins the connection to, if
// there is none yet.
func (l *link) pin(now flow.Time) {
	if l.policy.Mode != Pinned {
		return
	}
	for i := range l.paths {
		if at := l.node.sockets.at(l.paths[i].at.Local()); at != nil && at.iface == l.policy.Interface {
			return
		}
	}
	if to := l.node.sockets.onInterface(l.policy.Interface, l.paths[0].remote.Addr()); to != nil {
		l.move(now, 0, to, l.set.State(0) == flowset.Active)
	}
}
