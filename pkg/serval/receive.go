package serval

import (
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
)

// counters of what arrived and was not for anyone; see Node.Stats.
type counters struct {
	unauthentic, unknownFlow, malformed, refused, overflow atomic.Uint64
}

// receive is where every datagram enters: packets of established flows go
// through the flow table to their connection, packets that open one to the
// openers (SYN, OPEN) or to the dial that waits for them.
func (n *Node) receive(b *underlay.Batch) { n.take(b, nil) }

// take is receive for a reader that forwards, if f is not nil.
func (n *Node) take(b *underlay.Batch, f *forwarding) {
	for data := b.Data; len(data) > 0; {
		pkt := data[:min(b.Seg, len(data))]
		t, err := sal.PeekType(pkt)
		if err != nil {
			n.stats.malformed.Add(1)
			if no := sal.RefuseVersion(pkt); no != nil && n.resets.allow(time.Now()) {
				b.Socket.Send(no, len(no), b.From)
			}
			data = data[len(pkt):]
			continue
		}
		id, ok := sal.PeekFlow(pkt)
		if t.Short() && ok {
			switch e := n.flows.Lookup(id); {
			case e == nil:
				n.stats.unknownFlow.Add(1)
				n.unknown(b, pkt, t, id)
			case e.link != nil:
				data = e.link.receive(data, b.Seg, id, arrival{from: b.From, to: b.Socket})
				continue
			case e.half != nil:
				e.half.early(pkt)
			}
		} else {
			n.receiveLong(b, pkt, t, id, f)
		}
		data = data[len(pkt):]
	}
}

// receiveLong takes a packet that opens a connection.
func (n *Node) receiveLong(b *underlay.Batch, pkt []byte, t sal.Type, id sal.FlowID, f *forwarding) {
	switch t {
	case sal.TypeSYN:
		if f == nil || !f.syn(b, pkt) {
			n.openers.put(b, pkt)
		}
	case sal.TypeOpen:
		switch e := n.flows.Lookup(id); {
		case e == nil:
			n.stats.unknownFlow.Add(1)
		case e.link != nil:
			e.link.openAgain()
		default:
			n.openers.put(b, pkt)
		}
	case sal.TypeSYNACK, sal.TypeRefuse, sal.TypeCookie:
		switch e := n.flows.Lookup(id); {
		case e == nil:
			n.stats.unknownFlow.Add(1)
		case e.link != nil:
			e.link.openAgain()
		case e.dial != nil:
			e.dial.put(b, pkt)
		}
	case sal.TypeDatagram:
		if !n.back(b, pkt, f) {
			n.datagram(b, pkt)
		}
	case sal.TypeJoin, sal.TypeJoinAck:
		e := n.flows.Lookup(id)
		switch {
		case e == nil || e.link == nil:
			n.stats.unknownFlow.Add(1)
		case t == sal.TypeJoin:
			e.link.joinRequest(pkt, b.From, b.Socket)
		default:
			e.link.joinAck(pkt, b.From)
		}
	default:
		n.stats.malformed.Add(1)
	}
}
