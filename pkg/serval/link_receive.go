package serval

import (
	"sync"

	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/pkg/sal"
)

// receive takes the packets at the head of data that belong to flow id and
// returns the rest. They are seg bytes each, and came from and to where it says.
func (l *link) receive(data []byte, seg int, id sal.FlowID, came arrival) (rest []byte) {
	s := sinks.Get().(*sink)
	l.rx.Lock()
	l.mu.Lock()
	now := l.node.now()
	l.came = came
	p := &l.paths[l.index(id)]
	f := p.flow
	heard := false
	for len(data) > 0 {
		pkt := data[:min(seg, len(data))]
		if to, ok := shortFlow(pkt); !ok || to != id {
			break
		}
		s.hint = len(data) - len(pkt)
		l.came.size, l.came.counted = len(pkt), false
		switch err := l.set.Receive(now, f, pkt, s); err {
		case nil:
			l.opening.confirmed()
			l.live.heard(now)
			heard = true
		case flowset.ErrDuplicate:
		default:
			l.node.stats.unauthentic.Add(1)
		}
		data = data[len(pkt):]
	}
	if p = &l.paths[f.Index]; heard && came.from == p.remote {
		p.shared.heard.Store(int64(now))
	}
	s.flush()
	if len(s.full)+len(s.datagrams) > 0 {
		l.live.active(now, s.bytes)
		l.busy(s.bytes)
		l.used, l.asked = now, true
	}
	ack := l.accepted()
	l.pongs.update(l.set.Pongs())
	l.mu.Unlock()

	l.deliver(s, ack)

	l.mu.Lock()
	l.pump(now)
	l.mu.Unlock()
	l.rx.Unlock()
	s.reset()
	sinks.Put(s)
	return data
}

var sinks = sync.Pool{New: func() any { return new(sink) }}

// shortFlow returns the destination of an established packet.
func shortFlow(pkt []byte) (sal.FlowID, bool) {
	t, err := sal.PeekType(pkt)
	if err != nil || !t.Short() {
		return 0, false
	}
	return sal.PeekFlow(pkt)
}

// deliver hands to the application what a batch brought. It runs outside mu.
func (l *link) deliver(s *sink, ack uint64) {
	if l.ep == nil {
		if n := l.inbox.put(l, s.datagrams); n > 0 {
			l.node.stats.overflow.Add(uint64(n))
		}
		return
	}
	l.ep.Ack(ack)
	for _, v := range s.full {
		if n := l.ep.Deliver(v); n > 0 {
			l.Consumed(n) // nobody will read it any more: the peer's window must not care
		}
	}
	if s.fin {
		l.ep.DeliverFIN()
	}
}

// openAgain answers a peer that repeats its part of the handshake: a SYN-ACK
// means that our third packet is missing there, an OPEN that our proof of
// having it is.
func (l *link) openAgain() {
	l.mu.Lock()
	now := l.node.now()
	if l.opening.pkt != nil {
		l.opening.again(now)
	} else {
		l.set.Hello()
	}
	l.pump(now)
	l.mu.Unlock()
}

// welcome starts a connection on the listener's side with what came along with
// the third packet or overtook it, and shows the peer that it arrived.
func (l *link) welcome(early [][]byte, rest []byte) {
	l.mu.Lock()
	l.set.Hello()
	id := l.paths[0].flow.Local
	came := arrival{from: l.paths[0].remote, to: l.paths[0].socket}
	l.mu.Unlock()
	if len(rest) > 0 {
		l.receive(rest, len(rest), id, came)
	}
	for _, pkt := range early {
		l.receive(pkt, len(pkt), id, came)
	}
	l.mu.Lock()
	l.pump(l.node.now())
	l.mu.Unlock()
}
