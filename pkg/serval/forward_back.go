package serval

import (
	"net/netip"
	"time"

	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
)

// back takes a DATAGRAM that carries an instance's answer to a forwarded SYN: as a
// router on the way, or at its end. It reports whether the datagram is one.
func (n *Node) back(b *underlay.Batch, pkt []byte, f *forwarding) bool {
	d, err := sal.ParseDatagram(pkt)
	if err != nil || d.Service != routerID {
		return false
	}
	p, err := sal.ParseBack(d.Noise)
	if err != nil {
		n.stats.malformed.Add(1)
		return true
	}
	if last, rest, ok := p.Last(); ok {
		if f != nil {
			f.back(d.Source, last, &rest)
		}
		return true
	}
	n.arrived(b, &p)
	return true
}

// back sends an answer on to where this router had the SYN from, if it did.
func (f *forwarding) back(flow sal.FlowID, to sal.Source, p *sal.Back) {
	n := f.node
	epoch := epochAt(time.Now())
	for _, l := range n.sockets.list() {
		if f.tag(to.Addr, l.addr, flow, epoch) != to.Tag && f.tag(to.Addr, l.addr, flow, epoch-1) != to.Tag {
			continue
		}
		n.router.returned.Add(1)
		sendBack(l.Socket, to.Addr, flow, p)
		return
	}
	n.stats.unauthentic.Add(1)
}

// bounce is for a SYN that was forwarded to a port that is closed: the dialler hears
// of it as if the instance had refused, and asks again at once. What the report
// quotes of the SYN has our own tag, or goes nowhere.
func (n *Node) bounce(u underlay.Unreachable) {
	syn, came := sal.QuotedSYN(u.Quoted)
	no := sal.Refuse{Flow: syn.Flow, Code: sal.NoService, Echo: syn.Echo()}
	p := sal.Back{Origin: u.To, Way: came, Packet: no.Append(nil)}
	if last, rest, ok := p.Last(); ok {
		(&forwarding{node: n}).back(syn.Flow, last, &rest)
	}
}

func sendBack(by underlay.Socket, to netip.AddrPort, flow sal.FlowID, p *sal.Back) {
	d := sal.Datagram{Source: flow, Service: routerID, Noise: p.Append(make([]byte, 0, 1500))}
	b := d.Append(make([]byte, 0, 1500))
	by.Send(b, len(b), to)
}

// arrived hands an answer that came back through routers to the dial that waits
// for it.
func (n *Node) arrived(b *underlay.Batch, p *sal.Back) {
	t, _ := sal.PeekType(p.Packet)
	id, ok := sal.PeekFlow(p.Packet)
	if !ok || implausible(p.Origin) || p.Origin.Addr().IsLoopback() && !b.From.Addr().IsLoopback() {
		n.stats.malformed.Add(1)
		return
	}
	switch t {
	case sal.TypeSYNACK, sal.TypeRefuse, sal.TypeCookie:
		if e := n.flows.Lookup(id); e != nil && e.dial != nil {
			a := copyOf(b, p.Packet)
			a.origin = p.Origin
			e.dial.hand(a)
		}
	default:
		n.stats.malformed.Add(1)
	}
}
