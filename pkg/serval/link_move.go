package serval

import (
	"crypto/rand"
	"net/netip"
	"sync"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/internal/rsyn"
	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
)

// This file joins the machines of internal/rsyn, which agree with the peer where
// a flow is, to the connection. The caller of everything here holds mu.

type (
	moveIn     = rsyn.In[netip.AddrPort]
	moveOut    = rsyn.Out[netip.AddrPort]
	movePacket = rsyn.Packet[netip.AddrPort]
)

// fresh is an unpredictable number.
func fresh() (n [8]byte) {
	rand.Read(n[:])
	return n
}

// in describes the packet that is being received, for flow p.
func (l *link) in(now flow.Time, p *path) moveIn {
	if !l.came.counted { // also from a remote that has yet to prove itself
		p.at.Heard(l.came.from, l.came.size)
	}
	l.came.counted = true
	return moveIn{Now: now, At: l.came.to.LocalAddr(), From: l.came.from, Size: l.came.size,
		Known: l.came.from == p.met || l.knows(l.came.from), Fresh: [2]rsyn.Token{fresh(), fresh()}}
}

// move starts to move this end of flow i to a local address. A soft move leaves
// data on the old path until the peer has confirmed the new one.
func (l *link) move(now flow.Time, i int, to *local, soft bool) {
	p := &l.paths[i]
	p.asks++
	if !soft {
		l.set.SetState(now, uint8(i), flowset.Parked)
	}
	p.at.SetRTT(l.node.movers.pace(now, p.flow.RTT()))
	l.act(now, i, p.at.Move(now, to.addr, fresh(), soft))
}

// movers counts the moves of a node, so that thousands at once do not repeat
// themselves faster than both ends can answer. The zero value is ready.
type movers struct {
	mu          sync.Mutex
	since       flow.Time
	now, before int
}

const (
	moversWindow = 500 * time.Millisecond
	moveCost     = 250 * time.Microsecond // of both ends' time, generously
)

// pace counts a move and returns the round trip to expect.
func (m *movers) pace(now flow.Time, rtt time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := now.Sub(m.since); d > moversWindow {
		m.before = m.now
		if d > 2*moversWindow {
			m.before = 0
		}
		m.since, m.now = now, 0
	}
	m.now++
	return rtt + time.Duration(m.now+m.before)*moveCost
}

// act does what a machine asks for.
func (l *link) act(now flow.Time, i int, out moveOut) {
	p := &l.paths[i]
	if out.Event&(rsyn.RemoteMoved|rsyn.Validated) != 0 && !l.permitted() {
		return
	}
	from, to, ok := p.at.Path()
	at := l.node.sockets.at(from)
	waits := l.set.State(uint8(i)) == flowset.Parked && p.at.Unanswered() > 0 // for the peer to confirm a hard move
	changed := ok && at != nil && (from != p.socket.LocalAddr() || to != p.remote)
	was := ""
	if changed {
		was = l.where(i)
		l.redirect(now, i, at.Socket, to)
	}
	if out.Event&(rsyn.Confirmed|rsyn.RemoteMoved|rsyn.Validated) != 0 || changed && !waits {
		if !waits && at != nil && at.up {
			l.set.Moved(now, uint8(i), 0, p.socket.MTU(), l.node.routes.to(p.remote.Addr()))
		}
		l.think = true
	}
	switch {
	case out.Event&rsyn.Confirmed != 0:
		p.moves++
		p.asks = 0
		l.eventMoved(FlowMoved, i, was)
		l.wakeMovers()
	case out.Event&rsyn.Validated != 0:
		p.ack = nil
	case out.Event&rsyn.RemoteMoved != 0:
		l.eventMoved(PeerMoved, i, was)
	}
	if out.Event&rsyn.RemoteMoved != 0 {
		p.met = netip.AddrPort{}
	}
	l.sendMoves(now, i, &out)
}

// redirect makes flow i's packets take another path.
func (l *link) redirect(now flow.Time, i int, by underlay.Socket, to netip.AddrPort) {
	p := &l.paths[i]
	l.node.pairs.leave(p.pair(), p.shared)
	p.socket, p.remote = by, to
	p.shared = l.node.pairs.join(p.pair(), now)
	p.shared.heard.Store(int64(now))
}

// permitted checks the peer's certificate again, as for a new connection, and
// ends this one if it no longer holds.
func (l *link) permitted() bool {
	err := l.node.stillAllows(l)
	if err != nil {
		l.set.Reset(flowset.ResetNotAuthorized, err.Error())
	}
	return err == nil
}

// RSYN implements flowset.Control: the peer says that it has moved a flow to
// where this packet comes from.
func (l *link) RSYN(now flow.Time, f *flow.Flow, r *sal.RSYNFrame) {
	i := int(f.Index)
	if r.Index != f.Index || r.Flow != f.Remote || !l.permitted() {
		return
	}
	p := &l.paths[i]
	p.at.SetRTT(l.node.movers.pace(now, f.RTT()))
	l.heardOf(p, r.Verno)
	p.heardAt(now, r.Verno, l.came.to.LocalAddr())
	l.act(now, i, p.at.RSYN(l.in(now, p), r.Verno, r.Nonce))
}

// heardAt notes where an RSYN of the peer came.
func (p *path) heardAt(now flow.Time, verno uint64, here netip.AddrPort) {
	if verno < p.at.PeerVersion() {
		return
	}
	if verno > p.peerVerno {
		p.peerVerno, p.follow = verno, follow{to: here, due: now.Add(max(p.flow.RTT()/2, 5*time.Millisecond))}
	}
	if here == p.at.Local() {
		p.follow = follow{}
	}
}

// follow is a move to where the peer's RSYN came, which is due when none has come
// where we are: the peer reaches us there, and not here.
type follow struct {
	to  netip.AddrPort
	due flow.Time // 0 for never
}

// followDue moves after a peer that reaches us elsewhere only.
func (l *link) followDue(now flow.Time) {
	for i := range l.paths {
		p := &l.paths[i]
		if p.follow.due == 0 || now < p.follow.due {
			continue
		}
		to := l.node.sockets.at(p.follow.to)
		p.follow = follow{}
		if to != nil && to.usable() && to.addr != p.at.Local() && p.at.Unanswered() == 0 {
			l.move(now, i, to, false)
		}
	}
}

// Challenge implements flowset.Control.
func (l *link) Challenge(now flow.Time, f *flow.Flow, c [8]byte) {
	p := &l.paths[f.Index]
	l.act(now, int(f.Index), p.at.Challenge(l.in(now, p), c))
}

// Response implements flowset.Control.
func (l *link) Response(now flow.Time, f *flow.Flow, x [8]byte) {
	p := &l.paths[f.Index]
	l.act(now, int(f.Index), p.at.Response(l.in(now, p), x))
}

// Newest implements flowset.Control: the latest packet of a flow came from
// somewhere else than the flow is known to be. A NAT may have bound it anew.
func (l *link) Newest(now flow.Time, f *flow.Flow) {
	p := &l.paths[f.Index]
	if l.came.from != p.remote || p.at.Asking() {
		p.at.SetRTT(f.RTT())
		l.act(now, int(f.Index), p.at.Newest(l.in(now, p)))
	}
}

// knows reports whether an address is one that the peer has announced, or where
// another flow reaches it.
func (l *link) knows(a netip.AddrPort) bool {
	for _, k := range l.peerAddrs {
		if k == a {
			return true
		}
	}
	for _, k := range l.hints {
		if k == a {
			return true
		}
	}
	return false
}

// movesDue lets the machines repeat themselves.
func (l *link) movesDue(now flow.Time) {
	distress := !l.working()
	for i := range l.paths {
		if p := &l.paths[i]; now >= p.at.Deadline() {
			p.at.SetDistress(distress)
			l.act(now, i, p.at.Timeout(now))
			if distress && p.at.Unanswered() > 2 {
				l.think = true // another address may do better
			}
		}
	}
}

// working reports whether a flow can carry data.
func (l *link) working() bool {
	for i := range l.paths {
		if l.set.State(uint8(i)) == flowset.Active {
			return true
		}
	}
	return false
}

// wakeMovers wakes whoever waits for a move.
func (l *link) wakeMovers() {
	if l.waiting != nil {
		close(l.waiting)
		l.waiting = nil
	}
}

// sendMoves sends what a flow's machine wants sent.
func (l *link) sendMoves(now flow.Time, i int, out *moveOut) {
	p := &l.paths[i]
	for k := range out.Packets[:out.N] {
		pkt := &out.Packets[k]
		from := l.node.sockets.at(pkt.From)
		if from == nil {
			continue
		}
		if !pkt.Everywhere {
			l.sendMove(now, p, from.Socket, pkt, pkt.To)
			continue
		}
		for _, to := range l.elsewhere(p, pkt.From) {
			l.sendMove(now, p, from.Socket, pkt, to)
		}
		if p.at.Unanswered() >= lostAfter {
			l.look(now, p, from.Socket, pkt)
		}
	}
}

// sendMove seals one packet of path control and sends it.
func (l *link) sendMove(now flow.Time, p *path, by underlay.Socket, pkt *movePacket, to netip.AddrPort) {
	var buf [512]byte
	b := l.sealMove(now, p, pkt, buf[:])
	by.Send(b, len(b), to) // a path that does not take it does not work
}

// sealMove builds a packet of path control in buf, padded to the size that it
// should have.
func (l *link) sealMove(now flow.Time, p *path, pkt *movePacket, buf []byte) []byte {
	var room [256]byte
	frames := room[:0]
	if pkt.HasRSYN {
		frames = sal.AppendRSYN(frames, sal.RSYNFrame{Verno: pkt.Verno, Flow: p.flow.Local, Index: p.flow.Index, Nonce: pkt.Nonce})
	}
	if pkt.HasChallenge {
		frames = sal.AppendChallenge(frames, pkt.Challenge)
	}
	if pkt.HasResponse {
		frames = sal.AppendResponse(frames, pkt.Response)
	}
	const overhead = sal.ShortHeaderLen + 16
	frames = sal.AppendPad(frames, pkt.Size-overhead-len(frames))
	return l.set.SealPath(now, p.flow.Index, sal.TypeRSYN, frames, buf)
}

// elsewhere lists where else the peer might be than the flow's machine knows.
func (l *link) elsewhere(p *path, from netip.AddrPort) (out []netip.AddrPort) {
	const most = 6
	for _, list := range [][]netip.AddrPort{l.hints, l.peerAddrs} {
		for _, a := range list {
			ok := a != p.at.Remote() && a.Addr().Is4() == from.Addr().Is4() && a.Addr().IsLoopback() == from.Addr().IsLoopback()
			for _, o := range out {
				ok = ok && o != a
			}
			if ok && len(out) < most {
				out = append(out, a)
			}
		}
	}
	return out
}
