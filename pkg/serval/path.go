package serval

import (
	"net/netip"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/internal/mesh"
	"github.com/serval-net/serval/internal/rsyn"
	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
)

// path is one flow of a connection and where its packets go.
type path struct {
	flow    *flow.Flow
	socket  underlay.Socket // by which data leaves
	remote  netip.AddrPort  // to which
	at      rsyn.Machine[netip.AddrPort]
	shared  *pair
	began   flow.Time
	moves   int       // of this end
	nextAsk flow.Time // when to try another, if nothing answers
	asks    int       // moves tried since the last that was confirmed

	peerVerno uint64 // of the peer's last RSYN
	follow    follow // where it came

	met netip.AddrPort // where a rendezvous says that the peer is: see heardOf

	nonce [16]byte // of the JOIN that opened the flow at its acceptor,
	ack   []byte   // and the answer, while it may be asked for again
}

func (p *path) pair() pairKey { return pairKey{p.socket.LocalAddr(), p.remote} }

// arrival is where a packet came from and to.
type arrival struct {
	from netip.AddrPort
	to   underlay.Socket
	size int // of the datagram

	met     bool // it was passed on by a rendezvous that we asked
	counted bool // the flow's machine knows of the datagram
}

// addPath appends a flow; its index is its position. The caller holds mu.
func (l *link) addPath(p path, now flow.Time, s flowset.State) {
	p.began = now
	p.shared = l.node.pairs.join(p.pair(), now)
	l.paths = append(l.paths, p)
	l.set.AddFlow(p.flow, s)
}

// dropPaths takes all flows out of the node's books. The caller holds mu.
func (l *link) dropPaths() {
	for i := range l.paths {
		p := &l.paths[i]
		l.node.flows.Delete(p.flow.Local)
		l.node.pairs.leave(p.pair(), p.shared)
	}
	if l.join != nil {
		l.node.flows.Delete(l.join.local)
		l.join = nil
	}
}

// index returns the position of the flow with a local ID, 0 if there is none.
func (l *link) index(id sal.FlowID) int {
	for i := range l.paths {
		if l.paths[i].flow.Local == id {
			return i
		}
	}
	return 0
}

// live lists where the flows that can carry data run.
func (l *link) livePairs() (out []mesh.Pair) {
	for i := range l.paths {
		if s := l.set.State(uint8(i)); s != flowset.Parked && s != flowset.Pending {
			out = append(out, mesh.Pair{Local: l.paths[i].socket.LocalAddr(), Remote: l.paths[i].remote})
		}
	}
	return out
}

// send sends a train of packets, seg bytes each. A packet alone may leave together with
// those of other connections.
func (p *path) send(train []byte, seg int) error {
	if g, ok := p.socket.(underlay.Gatherer); ok && len(train) <= seg {
		return g.Gather(train, p.remote)
	}
	return p.socket.Send(train, seg, p.remote)
}
