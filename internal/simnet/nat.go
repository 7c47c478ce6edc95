package simnet

import "net/netip"

// NATKind says how a NAT maps and filters (RFC 4787).
type NATKind uint8

const (
	FullCone   NATKind = iota // one port for each inner endpoint, open to all
	Restricted                // the same, open only to endpoints written to
	Symmetric                 // a port for each inner endpoint and destination
)

// NAT is a router that hides a private address space behind one public
// address. It keeps the inner port number where it is free, unless Symmetric.
// Private address spaces may overlap. Safe for concurrent use.
type NAT struct {
	net    *Network
	public netip.Addr
	kind   NATKind
	inner  realm
	out    map[flow]*mapping
	in     map[uint16]*mapping
	next   uint16 // port to try when the inner one will not do
	fresh  bool   // rebound: preserve no ports
}

// flow is an inner endpoint, and for a Symmetric NAT its destination.
type flow struct{ inside, to netip.AddrPort }

// mapping is a public port in use.
type mapping struct {
	inside netip.AddrPort
	port   uint16
	peers  map[netip.AddrPort]bool // it wrote to
}

// NAT adds a NAT to the network. It panics if the address is taken.
func (n *Network) NAT(public netip.Addr, kind NATKind) *NAT {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.outer[public] != nil || n.nats[public] != nil {
		panic("simnet: address " + public.String() + " is taken")
	}
	t := &NAT{net: n, public: public, kind: kind, inner: make(realm), next: 20000}
	t.reset()
	n.nats[public] = t
	return t
}

// Host adds a host inside the NAT.
func (t *NAT) Host(addrs ...netip.Addr) *Host {
	return newHost(t.net, t, addrs)
}

// Rebind forgets all mappings, as a router that restarts: inner endpoints get
// other ports when they send next, and cannot be reached until then.
func (t *NAT) Rebind() {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	t.reset()
	t.fresh = true
}

func (t *NAT) reset() {
	t.out = make(map[flow]*mapping)
	t.in = make(map[uint16]*mapping)
}

// outward gives a packet from the inside its public source.
func (t *NAT) outward(p *packet) {
	f := flow{inside: p.from}
	if t.kind == Symmetric {
		f.to = p.to
	}
	m := t.out[f]
	if m == nil {
		m = &mapping{inside: p.from, port: t.pick(p.from.Port()), peers: make(map[netip.AddrPort]bool)}
		t.out[f] = m
		t.in[m.port] = m
	}
	m.peers[p.to] = true
	p.from = netip.AddrPortFrom(t.public, m.port)
	p.nat = nil
}

// translate takes a packet of the host out of its NAT, if it leaves it.
func (h *Host) translate(p *packet) {
	if p.nat = h.nat; p.nat != nil && p.nat.inner[p.to.Addr()] == nil {
		p.nat.outward(p)
	}
}

func (t *NAT) pick(want uint16) uint16 {
	if t.kind != Symmetric && !t.fresh && t.in[want] == nil {
		return want
	}
	for t.in[t.next] != nil {
		t.next++
	}
	port := t.next
	t.next++
	return port
}

// inward gives a packet from the outside its inner destination, and reports
// whether it may pass.
func (t *NAT) inward(p *packet) bool {
	m := t.in[p.to.Port()]
	if m == nil || t.kind != FullCone && !m.peers[p.from] {
		return false
	}
	p.to = m.inside
	p.nat = t
	return true
}

// route finds the interface that p is for, or nil.
func (n *Network) route(p *packet) *Interface {
	if p.nat == nil {
		if t := n.nats[p.to.Addr()]; t != nil && !t.inward(p) {
			return nil
		}
	}
	if p.nat != nil {
		return p.nat.inner[p.to.Addr()]
	}
	return n.outer[p.to.Addr()]
}
