package serval

import (
	"net/netip"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/internal/mesh"
	"github.com/serval-net/serval/internal/rsyn"
	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
)

// joining is a flow that the dialler is adding: the JOIN, repeated until its
// JOINACK comes. There is one at a time, so that both ends number flows alike.
type joining struct {
	pair   mesh.Pair
	local  sal.FlowID
	index  uint8
	nonce  [16]byte
	pkt    []byte
	sent   flow.Time // the first copy
	copies int
	next   flow.Time
}

const (
	joinRetry  = 150 * time.Millisecond // or 1.5 round trips, doubling
	joinCopies = 4
	maxFailed  = 256
	badFor     = 10 * time.Second // how long a pair that did not answer is left alone
)

// startJoin asks the peer for a flow on a pair of addresses. The caller holds mu.
func (l *link) startJoin(now flow.Time, pair mesh.Pair) {
	n := l.node
	from := n.sockets.at(pair.Local)
	if from == nil {
		return
	}
	j := &joining{pair: pair, index: uint8(len(l.paths)), nonce: nonce16()}
	if l.join != nil { // the same flow, elsewhere: the peer may have taken it, and its answers been lost
		j.local, j.nonce = l.join.local, l.join.nonce
	} else {
		j.local = n.flows.Insert(&entry{link: l})
	}
	p := sal.Join{Flow: l.paths[0].flow.Remote, Source: j.local, Index: j.index, Nonce: j.nonce}
	l.joiner.Sign(&p)
	j.pkt = p.Append(nil)
	j.sent = now
	l.join = j
	l.sendJoin(now, from.Socket)
}

func nonce16() (n [16]byte) {
	a, b := fresh(), fresh()
	copy(n[:8], a[:])
	copy(n[8:], b[:])
	return n
}

func (l *link) sendJoin(now flow.Time, by underlay.Socket) {
	j := l.join
	wait := max(joinRetry, l.paths[0].flow.RTT()*3/2) << j.copies
	j.copies++
	j.next = now.Add(wait)
	by.Send(j.pkt, len(j.pkt), j.pair.Remote)
}

// joinDue repeats the JOIN, or gives the pair up.
func (l *link) joinDue(now flow.Time) {
	j := l.join
	if j == nil || now < j.next {
		return
	}
	from := l.node.sockets.at(j.pair.Local)
	if j.copies < joinCopies && from != nil && from.usable() {
		l.sendJoin(now, from.Socket)
		return
	}
	if l.bad == nil || len(l.failed) >= maxFailed {
		l.bad, l.failed = make(map[mesh.Pair]flow.Time), make(map[mesh.Pair]int)
	}
	l.failed[j.pair]++
	l.bad[j.pair] = now.Add(badFor << min(l.failed[j.pair]-1, 5))
	l.think = true
	j.next = flow.Never
	j.copies = 0
}

// joinAck takes the peer's answer to the JOIN: the flow is there.
func (l *link) joinAck(pkt []byte, from netip.AddrPort) {
	p, err := sal.ParseJoin(pkt)
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.join
	if err != nil || j == nil || l.gone || !p.Ack || p.Flow != j.local || p.Index != j.index || from != j.pair.Remote || !l.joiner.Verify(&p) {
		l.node.stats.unauthentic.Add(1)
		return
	}
	at := l.node.sockets.at(j.pair.Local)
	if at == nil {
		return
	}
	now := l.node.now()
	l.join = nil
	rtt := time.Duration(0)
	if j.copies == 1 {
		rtt = now.Sub(j.sent)
	}
	f := l.newFlow(now, &p, j.local, j.nonce, p.Nonce, rtt, at.Socket, from)
	l.addPath(path{flow: f, socket: at.Socket, remote: from, at: rsyn.New(at.addr, from)}, now, flowset.Active)
	l.event(FlowJoined, int(p.Index), "")
	// Any packet shows that we have the keys, and makes the peer ask again whether
	// we are here if its CHALLENGE got lost.
	i := int(p.Index)
	l.sendMove(now, &l.paths[i], at.Socket, &movePacket{HasChallenge: true, Challenge: fresh()}, from)
	l.think = true
	l.step(now)
	l.pump(now)
}

// joinRequest takes the peer's JOIN.
func (l *link) joinRequest(pkt []byte, from netip.AddrPort, at underlay.Socket) {
	p, err := sal.ParseJoin(pkt)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || l.gone || l.dialled || p.Ack || !l.joiner.Verify(&p) {
		l.node.stats.unauthentic.Add(1)
		return
	}
	now := l.node.now()
	i := int(p.Index)
	if i < len(l.paths) { // a repetition, or too late
		if q := &l.paths[i]; q.ack != nil && q.nonce == p.Nonce && q.flow.Remote == p.Source {
			at.Send(q.ack, len(q.ack), from)
		}
		return
	}
	if i != len(l.paths) || i >= l.node.cfg.MaxFlows {
		return
	}
	if !l.permitted() {
		l.pump(now)
		return
	}
	local := l.node.flows.Insert(&entry{link: l})
	ack := sal.Join{Ack: true, Flow: p.Source, Source: local, Index: p.Index, Nonce: nonce16()}
	l.joiner.Sign(&ack)
	f := l.newFlow(now, &p, local, p.Nonce, ack.Nonce, 0, at, from)
	// Not more than a JOINACK goes to an address that anyone may have written
	// into the packet, until a CHALLENGE is answered from there. The nonce would
	// not do: every copy of the JOIN gets it, also at another address.
	q := path{flow: f, socket: at, remote: from, nonce: p.Nonce, ack: ack.Append(nil)}
	var out moveOut
	q.at, out = rsyn.NewJoined(moveIn{Now: now, At: at.LocalAddr(), From: from, Size: len(pkt) - len(q.ack)/3,
		Fresh: [2]rsyn.Token{fresh(), fresh()}})
	l.addPath(q, now, flowset.Pending)
	at.Send(q.ack, len(q.ack), from)
	l.sendMoves(now, i, &out)
	l.arm(now)
}

// newFlow makes the flow that a JOIN and its JOINACK opened; p is the one that
// the peer sent.
func (l *link) newFlow(now flow.Time, p *sal.Join, local sal.FlowID, join, ack [16]byte, rtt time.Duration, by underlay.Socket, to netip.AddrPort) *flow.Flow {
	s, o := l.joiner.Keys(p.Index, join, ack)
	return flow.New(now, flow.Config{
		Index: p.Index, Local: local, Remote: p.Source, RTT: rtt, LinkMTU: by.MTU(),
		Seed: l.node.seed + uint64(local), Route: l.node.routes.to(to.Addr()), Sealer: s, Opener: o,
	})
}
