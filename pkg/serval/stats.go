package serval

import (
	"time"
)

// Stats describes a connection at one moment. Byte counts named Stream are the
// application's; those of a flow are UDP payload.
type Stats struct {
	StreamSent      uint64 // accepted from the application
	StreamAcked     uint64 // known to have arrived
	StreamReceived  uint64 // handed to the application's side
	Queued          int    // StreamSent less StreamAcked
	ReceiveWindow   uint64 // credit granted to the peer
	Flows           []Flow
	LongestStall    time.Duration // longest time the stream stood still while it should have moved
	Age             time.Duration
	SinceLastPacket time.Duration
}

// Stats returns a snapshot.
func (c *Conn) Stats() Stats {
	l := c.link
	flows := l.flows()
	l.mu.Lock()
	defer l.mu.Unlock()
	fs := l.set.Stats()
	now := l.node.now()
	s := Stats{StreamSent: fs.Written, StreamAcked: fs.Acked, StreamReceived: fs.Delivered, Queued: fs.Queued,
		ReceiveWindow: fs.Window, Flows: flows, LongestStall: max(fs.LongestStall, l.set.Stalled(now)), Age: now.Sub(l.began), SinceLastPacket: now.Sub(l.live.last)}
	return s
}

// NodeStats counts what a node did and what it dropped.
type NodeStats struct {
	Connections int // established now
	Flows       int // entries in the flow table, half-open ones included
	Listeners   int

	Unauthentic uint64 // packets that failed authentication
	UnknownFlow uint64 // packets for no flow of ours
	Malformed   uint64 // not packets at all
	Refused     uint64 // SYNs answered with a refusal
	Forwarded   uint64 // SYNs sent on, as a service router
	Returned    uint64 // answers sent back, as one
	Overflow    uint64 // datagrams dropped because nobody read those before
}

// Stats returns a snapshot.
func (n *Node) Stats() NodeStats {
	n.mu.Lock()
	conns, ls := len(n.links), len(n.listeners)
	n.mu.Unlock()
	return NodeStats{
		Connections: conns, Flows: n.flows.Len(), Listeners: ls,
		Unauthentic: n.stats.unauthentic.Load(), UnknownFlow: n.stats.unknownFlow.Load(), Malformed: n.stats.malformed.Load(),
		Refused: n.stats.refused.Load(), Forwarded: n.router.forwarded.Load(), Returned: n.router.returned.Load(), Overflow: n.stats.overflow.Load(),
	}
}
