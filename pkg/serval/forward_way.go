package serval

import (
	"crypto/rand"
	"net/netip"

	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
)

// way is how to answer a SYN.
//
// What routers state of a dialler is hearsay: anybody may write an address into a
// SYN. So the address stated gets three times the bytes of a SYN at most and
// nothing twice, as with any SYN, until the dialler has shown that it receives
// there, by a cookie or by the ticket in the SYN-ACK. A dialler who gets its
// SYN-ACK through the routers opens from an address that is yet to prove itself,
// like that of a JOIN.
type way struct {
	client netip.AddrPort  // of the dialler
	socket underlay.Socket // by which to answer straight; nil if that cannot be

	// Of a SYN that was forwarded:
	forwarded bool
	routers   []byte          // entries of SOURCE
	last      netip.AddrPort  // the router that it came from
	by        underlay.Socket // where it came
	flow      sal.FlowID      // the dialler's
}

// wayOf returns how to answer a SYN; nothing of it aliases the SYN.
func (n *Node) wayOf(a *answer, syn *sal.SYN) *way {
	came, ok := syn.Extensions.Get(sal.ExtSource)
	w := &way{client: a.from, socket: a.socket}
	for first := range sal.SourceAddrs(came) {
		w.client = first
		break
	}
	if !ok || len(came) == 0 {
		return w
	}
	w.forwarded, w.routers, w.last, w.by, w.flow = true, append([]byte(nil), came...), a.from, a.socket, syn.Flow
	w.socket = nil
	if !implausible(w.client) && w.client.Addr().IsLoopback() == w.last.Addr().IsLoopback() && n.sockets.at(w.client) == nil {
		w.socket = n.sockets.pick(w.client.Addr())
	}
	return w
}

// first is the first router, as the next hop saw it; zero if there is none.
func (w *way) first() netip.AddrPort {
	if !w.forwarded {
		return netip.AddrPort{}
	}
	i := 0
	for a := range sal.SourceAddrs(w.routers) {
		if i == 1 {
			return a
		}
		i++
	}
	return w.last
}

// straight sends an answer to the dialler.
func (w *way) straight(pkt []byte) {
	if w.socket != nil {
		w.socket.Send(pkt, len(pkt), w.client)
	}
}

// through sends an answer to the dialler by way of the routers. It reports whether
// it could: together with what else was sent for a SYN of size bytes, it must stay
// within the amplification limit.
func (n *Node) through(w *way, pkt []byte, size int) bool {
	if !w.forwarded || 2*len(pkt)+sal.MaxBack > sal.AmplificationLimit*size {
		return false
	}
	n.copyThrough(w, pkt)
	return true
}

func (n *Node) copyThrough(w *way, pkt []byte) {
	if origin := n.originFor(w); origin.IsValid() {
		sendBack(w.by, w.last, w.flow, &sal.Back{Origin: origin, Way: w.routers, Packet: unmarked(pkt)})
	}
}

// originFor is where the dialler can reach this node.
func (n *Node) originFor(w *way) netip.AddrPort {
	s := w.socket
	if s == nil {
		s = w.by
	}
	at := s.LocalAddr()
	for _, a := range n.cfg.Advertise {
		if a.Addr().Is4() == at.Addr().Is4() {
			return a
		}
	}
	return at
}

// unmarked is an answer as it goes through routers: without what proves that the
// dialler got it at its own address.
func unmarked(pkt []byte) []byte {
	switch t, _ := sal.PeekType(pkt); t {
	case sal.TypeSYNACK:
		if p, err := sal.ParseSYNACK(pkt); err == nil {
			p.Extensions = nil
			return p.Append(nil)
		}
	case sal.TypeCookie:
		if p, err := sal.ParseCookie(pkt); err == nil {
			// It makes the dialler send its SYN straight to us, who then give it
			// a cookie for the address that this comes from.
			var no [16]byte
			rand.Read(no[:]) // never fails
			p.Cookie = no[:]
			return p.Append(nil)
		}
	}
	return pkt
}
