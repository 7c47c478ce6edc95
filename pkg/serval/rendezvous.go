package serval

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
)

// When both ends of a connection move at once, neither knows where the other is.
// They meet at a third node: each sends it the packet that it has for the other,
// under a name that only the two can compute, and the third passes on to each
// what the other sent, with the address it came from. It learns nothing else, it
// proves nothing, and the packets stay sealed for the other end, who validates
// the address as that of any RSYN.
//
//	MEET  kind 1 | name (16 bytes) | sealed packet              to the rendezvous
//	MET   kind 2 | name (16 bytes) | address | sealed packet    from it
//
// Both are the body of a DATAGRAM to the service RendezvousService.

// RendezvousService is the name under which nodes that serve as rendezvous are
// registered.
const RendezvousService = "svc:serval/rendezvous"

var rendezvousID = rendezvousName.ServiceID()

const (
	kindMeet, kindMet = 1, 2

	meetingTTL     = 30 * time.Second
	maxMeetings    = 1 << 16
	maxMeetPacket  = 256 // an RSYN is less
	meetsPerSecond = 20000
)

// meeting is a rendezvous: per name the last packet of each of the two who meet.
type meeting struct {
	mu    sync.Mutex
	rooms map[[16]byte]*room
	swept time.Time
	limit limiter
}

type room struct {
	from [2]netip.AddrPort
	by   [2]underlay.Socket // where it came: a NAT lets nobody else answer
	pkt  [2][]byte
	at   [2]time.Time
}

// meet sends a packet for the peer to every rendezvous there is. The caller
// holds mu.
func (l *link) meet(now flow.Time, p *path, by underlay.Socket, pkt *movePacket) {
	name, here := l.joiner.Rendezvous(), by.LocalAddr().Addr()
	for _, to := range l.node.rendezvous(name, p.at.Unanswered()) {
		if to.Addr().Is4() != here.Is4() || to.Addr().IsLoopback() != here.IsLoopback() {
			continue
		}
		l.search.note(to)
		d := sal.Datagram{Source: p.flow.Local, Service: rendezvousID, Noise: append([]byte{kindMeet}, name[:]...)}
		var buf [maxMeetPacket]byte
		d.Noise = append(d.Noise, l.sealMove(now, p, pkt, buf[:])...)
		b := d.Append(nil)
		by.Send(b, len(b), to)
	}
}

// datagram takes a DATAGRAM.
func (n *Node) datagram(b *underlay.Batch, pkt []byte) {
	d, err := sal.ParseDatagram(pkt)
	if err != nil || d.Service != rendezvousID || len(d.Noise) < 17 {
		n.stats.malformed.Add(1)
		return
	}
	name, rest := [16]byte(d.Noise[1:17]), d.Noise[17:]
	switch {
	case d.Noise[0] == kindMeet && n.cfg.ServeRendezvous:
		n.meeting.meet(b, d.Source, name, rest)
	case d.Noise[0] == kindMet:
		n.met(b, name, rest)
	}
}

// meet passes a packet on to the other who uses the name, and back what that one
// sent last.
func (m *meeting) meet(b *underlay.Batch, source sal.FlowID, name [16]byte, pkt []byte) {
	now := time.Now()
	if len(pkt) > maxMeetPacket || !m.limit.allowUpTo(now, meetsPerSecond) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rooms[name]
	if r == nil {
		if m.rooms == nil {
			m.rooms = make(map[[16]byte]*room)
		}
		m.sweep(now)
		r = new(room)
		m.rooms[name] = r
	}
	me := 0
	if r.from[0] != b.From && (r.from[1] == b.From || r.at[1].Before(r.at[0])) {
		me = 1
	}
	r.from[me], r.by[me], r.at[me], r.pkt[me] = b.From, b.Socket, now, append(r.pkt[me][:0], pkt...)
	other := 1 - me
	if r.from[other].IsValid() && now.Sub(r.at[other]) < meetingTTL {
		r.pass(source, name, me, other)
		// Whoever forges the address of a victim shall not have more sent there.
		if len(r.pkt[other]) <= 2*len(pkt) {
			r.pass(source, name, other, me)
		}
	}
}

// sweep makes room for another name.
func (m *meeting) sweep(now time.Time) {
	if len(m.rooms) < maxMeetings {
		return
	}
	if now.Sub(m.swept) > time.Second { // a flood shall not make us do it for each packet
		m.swept = now
		for name, r := range m.rooms {
			if now.Sub(r.at[0]) > meetingTTL && now.Sub(r.at[1]) > meetingTTL {
				delete(m.rooms, name)
			}
		}
	}
	for name := range m.rooms { // still full: any
		if len(m.rooms) < maxMeetings {
			break
		}
		delete(m.rooms, name)
	}
}

// pass sends what came from one end to the other.
func (r *room) pass(source sal.FlowID, name [16]byte, from, to int) {
	body := append([]byte{kindMet}, name[:]...)
	ip := r.from[from].Addr().Unmap()
	body = append(append(body, byte(ip.BitLen()/8)), ip.AsSlice()...)
	body = binary.BigEndian.AppendUint16(body, r.from[from].Port())
	d := sal.Datagram{Source: source, Service: rendezvousID, Noise: append(body, r.pkt[from]...)}
	b := d.Append(nil)
	r.by[to].Send(b, len(b), r.from[to])
}

// met takes a packet that a rendezvous passed on as if it had come from where the
// rendezvous saw it. It is sealed, or it is nothing.
func (n *Node) met(b *underlay.Batch, name [16]byte, body []byte) {
	if len(body) < 1 {
		return
	}
	size := int(body[0])
	if size != 4 && size != 16 || len(body) < 1+size+2 {
		n.stats.malformed.Add(1)
		return
	}
	ip, _ := netip.AddrFromSlice(body[1 : 1+size])
	from := netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(body[1+size:]))
	pkt := body[1+size+2:]
	id, ok := shortFlow(pkt)
	here := b.Socket.LocalAddr().Addr()
	if !ok || implausible(from) || from.Addr().Is4() != here.Is4() || from.Addr().IsLoopback() != here.IsLoopback() {
		n.stats.malformed.Add(1)
		return
	}
	if e := n.flows.Lookup(id); e != nil && e.link != nil {
		e.link.receive(pkt, len(pkt), id, arrival{from: from, to: b.Socket, met: e.link.expects(name, b.From)})
	}
}

// expects reports whether the connection looks for its peer at a rendezvous.
func (l *link) expects(name [16]byte, at netip.AddrPort) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.search.asked, at) && name == l.joiner.Rendezvous()
}

// heardOf takes a rendezvous at its word where the peer's latest RSYN came from,
// while our own is unanswered: neither end could else answer the other, as
// neither has proven where it is. It holds until the flow has found the peer.
func (l *link) heardOf(p *path, verno uint64) {
	if l.came.met && p.at.Unanswered() > 0 && verno >= p.at.PeerVersion() {
		p.met = l.came.from
	}
}
