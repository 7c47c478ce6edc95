package serval

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/internal/netstack"
	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// link drives one connection: it joins the pure core (flowset) to the TCP
// endpoint above and to the sockets below. Work is done on whichever goroutine
// brings the event: the application's write, a socket's reader, the timer.
//
// Lock order: netstack's endpoint lock, then mu. rx is taken before mu and
// held while delivering upward; nothing that netstack calls takes it.
type link struct {
	node   *Node
	peer   identity.Peer
	token  [16]byte // proves that the peer lost this connection
	local  Addr
	remote Addr // as dialled or accepted; remoteAddr knows where it is now

	closed atomic.Bool // the application closed both directions
	ending atomic.Bool // or at least the outgoing one

	rx sync.Mutex // one arrival at a time, so that netstack sees order

	mu      sync.Mutex
	set     *flowset.Conn
	paths   []path
	ep      *netstack.Endpoint // nil for datagram connections
	inbox   *inbox             // for datagram connections
	shared  bool               // the inbox is a PacketConn's
	opening opening
	timer   *time.Timer
	wake    flow.Time // when the timer fires; 0 when it is not armed
	linger  flow.Time // when a finished connection is forgotten; 0 while it is not finished
	orphan  flow.Time // when a closed connection stops waiting for the peer to close
	gone    bool      // out of the flow table
	live    liveness
	pongs   pongs
	began   flow.Time
	onEnd   func()
}

// path is where a flow's packets go.
type path struct {
	flow   *flow.Flow
	socket underlay.Socket
	remote netip.AddrPort
}

// Output implements netstack.Link.
func (l *link) Output(c netstack.Chunk) {
	l.mu.Lock()
	now := l.node.now()
	n := c.Len()
	l.set.Write(c)
	l.live.active(now, n)
	l.pump(now)
	ack := l.accepted()
	l.mu.Unlock()
	l.ep.Ack(ack)
}

// accepted is how far TCP may forget what it sent. The end of stream counts
// one. The caller holds mu.
func (l *link) accepted() uint64 {
	a := l.set.Accepted()
	if l.set.Ending() && a == l.set.Stats().Written {
		a++
	}
	return a
}

// Consumed implements netstack.Link.
func (l *link) Consumed(n int) {
	l.mu.Lock()
	now := l.node.now()
	if l.set.Consumed(now, n) {
		l.pump(now)
	}
	l.mu.Unlock()
}

// OutputFIN implements netstack.Link.
func (l *link) OutputFIN(uint64) {
	l.mu.Lock()
	l.set.CloseWrite()
	l.pump(l.node.now())
	ack := l.accepted()
	l.mu.Unlock()
	l.ep.Ack(ack)
}

// Abort implements netstack.Link.
func (l *link) Abort() {
	l.mu.Lock()
	if !l.set.Finished() || !l.set.Sent() {
		l.set.Reset(flowset.ResetAborted, "the peer closed the connection with data unread")
	}
	l.pump(l.node.now())
	l.mu.Unlock()
}

// receive takes the packets at the head of data that belong to flow id and
// returns the rest. They are seg bytes each.
func (l *link) receive(data []byte, seg int, id sal.FlowID) (rest []byte) {
	s := sinks.Get().(*sink)
	l.rx.Lock()
	l.mu.Lock()
	now := l.node.now()
	f := l.flow(id)
	for len(data) > 0 {
		pkt := data[:min(seg, len(data))]
		if to, ok := shortFlow(pkt); !ok || to != id {
			break
		}
		s.hint = len(data) - len(pkt)
		switch err := l.set.Receive(now, f, pkt, s); err {
		case nil:
			l.opening.confirmed()
			l.live.heard(now)
		case flowset.ErrDuplicate:
		default:
			l.node.stats.unauthentic.Add(1)
		}
		data = data[len(pkt):]
	}
	s.flush()
	if len(s.full)+len(s.datagrams) > 0 {
		l.live.active(now, s.bytes)
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

func (l *link) flow(id sal.FlowID) *flow.Flow {
	for i := range l.paths {
		if l.paths[i].flow.Local == id {
			return l.paths[i].flow
		}
	}
	return l.paths[0].flow
}

// deliver hands to the application what a batch brought. It runs outside mu.
func (l *link) deliver(s *sink, ack uint64) {
	if l.ep == nil {
		for _, d := range s.datagrams {
			l.inbox.put(message{d, l})
		}
		return
	}
	l.ep.Ack(ack)
	for _, v := range s.full {
		if n := v.Size(); !l.ep.Deliver(v) {
			l.Consumed(n) // nobody will read it: the peer's window must not care
		}
	}
	if s.fin {
		l.ep.DeliverFIN()
	}
}

// pump sends everything that may leave now and arms the timer for the rest.
// The caller holds mu.
func (l *link) pump(now flow.Time) {
	if l.gone {
		return
	}
	var buf *[]byte
	for {
		if buf == nil {
			buf = trains.Get().(*[]byte)
		}
		head := l.opening.take(*buf, now)
		p := &l.paths[0]
		room := (*buf)[head:p.socket.MaxBatch()]
		if head > 0 { // the first data rides in the third packet
			room = (*buf)[head:min(p.flow.MTU(), len(*buf))]
		}
		n, seg, f := l.set.Transmit(now, room)
		if n+head == 0 {
			break
		}
		if f != nil {
			p = &l.paths[f.Index]
		}
		if head > 0 {
			seg = head + n
		}
		if err := p.socket.Send((*buf)[:head+n], seg, p.remote); errors.Is(err, underlay.ErrTooBig) && f != nil {
			f.TooBig(seg)
		}
	}
	trains.Put(buf)
	l.settle(now)
	l.arm(now)
}

// trains are buffers for one system call's worth of packets.
var trains = sync.Pool{New: func() any { b := make([]byte, underlay.MaxPayload); return &b }}

// settle notices the end of the connection. The caller holds mu.
func (l *link) settle(now flow.Time) {
	switch err := l.set.Err(); {
	case l.gone:
	case err != nil:
		l.forget()
		go l.finish(err)
	case l.linger == 0 && l.set.Sent() && l.set.Finished():
		// Stay to acknowledge the peer's last packets again if ours got lost.
		l.linger = now.Add(3*l.paths[0].flow.RTT() + 100*time.Millisecond)
	case l.linger != 0 && now >= l.linger:
		l.forget()
		go l.finish(nil)
	case l.orphan != 0 && now >= l.orphan:
		l.orphan = 0
		l.set.Reset(flowset.ResetAborted, "the other end was closed long ago")
	case l.orphan == 0 && l.closed.Load() && l.set.Sent() && !l.set.Finished():
		l.orphan = now.Add(orphanTimeout)
	}
}

// orphanTimeout is how long a connection that was closed here, and whose data
// is delivered, waits for the peer to close too (Linux: tcp_fin_timeout).
const orphanTimeout = 60 * time.Second

// finish tells what is above that the connection is over.
func (l *link) finish(err error) {
	defer l.node.wg.Done()
	if l.ep != nil {
		if err != nil {
			l.ep.DeliverReset(l.wrap("read", cause(err)))
		}
	} else if !l.shared {
		l.inbox.close(l.wrap("read", cause(err)))
	}
	l.mu.Lock()
	after := l.onEnd
	l.mu.Unlock()
	if after != nil {
		after()
	}
}

// forget takes the connection out of the flow table. The caller holds mu and
// must run finish.
func (l *link) forget() {
	l.gone = true
	l.pongs.update(l.pongs.seen + 1) // nobody shall wait any longer
	l.node.wg.Add(1)
	for i := range l.paths {
		l.node.flows.Delete(l.paths[i].flow.Local)
	}
	if l.timer != nil && l.timer.Stop() {
		l.node.wg.Done()
	}
	l.wake = 0
	l.node.removeLink(l)
}

// arm sets the timer for the earliest deadline. An armed timer that is early
// is left alone: it will look again. The caller holds mu.
func (l *link) arm(now flow.Time) {
	if l.gone {
		return
	}
	at := min(l.set.Deadline(), l.opening.deadline(), l.live.deadline())
	if l.linger != 0 {
		at = min(at, l.linger)
	}
	if l.orphan != 0 {
		at = min(at, l.orphan)
	}
	if at == flow.Never || l.wake != 0 && l.wake <= at {
		return
	}
	l.wake = max(at, now+1)
	d := max(at.Sub(now), 0)
	if l.timer == nil {
		l.node.wg.Add(1)
		l.timer = time.AfterFunc(d, l.onTimer)
	} else if !l.timer.Reset(d) {
		l.node.wg.Add(1)
	}
}

func (l *link) onTimer() {
	defer l.node.wg.Done()
	l.mu.Lock()
	l.wake = 0
	if !l.gone {
		now := l.node.now()
		l.set.Timeout(now)
		if l.live.due(now) {
			l.set.Ping()
		}
		l.pump(now)
	}
	l.mu.Unlock()
}

// abort ends the connection at once, telling the peer why.
func (l *link) abort(code uint64, why string) {
	l.mu.Lock()
	l.set.Reset(code, why)
	l.pump(l.node.now())
	l.mu.Unlock()
}

// fail ends the connection without a word to the peer, who is gone.
func (l *link) fail(err error) {
	l.mu.Lock()
	l.set.Fail(err)
	l.pump(l.node.now())
	l.mu.Unlock()
}

// whenOver runs f once when the connection has ended, or now if it has.
func (l *link) whenOver(f func()) {
	l.mu.Lock()
	over := l.gone
	if !over {
		l.onEnd = f
	}
	l.mu.Unlock()
	if over {
		f()
	}
}

func (l *link) remoteAddr() *Addr {
	a := l.remote
	l.mu.Lock()
	a.Underlay = l.paths[0].remote
	l.mu.Unlock()
	return &a
}

// drained reports whether the peer has everything that was written.
func (l *link) drained() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.gone || l.set.Err() != nil || l.ep == nil:
		return true
	case l.ending.Load(): // TCP may hold more than it has shown yet: wait for its end
		return l.set.Sent()
	}
	return l.set.Drained()
}

func (l *link) sendDatagram(b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		if err := l.set.Err(); err != nil {
			return cause(err)
		}
		return ErrClosed
	}
	if err := l.set.SendDatagram(b); err != nil {
		return err
	}
	now := l.node.now()
	l.live.active(now, len(b))
	l.pump(now)
	return nil
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
	l.mu.Unlock()
	if len(rest) > 0 {
		l.receive(rest, len(rest), id)
	}
	for _, pkt := range early {
		l.receive(pkt, len(pkt), id)
	}
	l.mu.Lock()
	l.pump(l.node.now())
	l.mu.Unlock()
}
