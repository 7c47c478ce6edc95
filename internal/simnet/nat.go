package simnet

import "net/netip"

// NAT is a router that hides a private address space behind one address.
type NAT struct {
	net    *Network
	public netip.Addr
	inner  realm
}

// Tap sees each datagram.
type Tap func(p *Packet) bool

// Packet is a datagram as a Tap sees it.
type Packet struct {
	From, To netip.AddrPort
	Data     []byte
}

// route finds the interface that p is for. The caller holds n.mu.
func (n *Network) route(p *packet) *Interface { return n.outer[p.to.Addr()] }
