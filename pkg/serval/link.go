package serval

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/internal/handshake"
	"github.com/serval-net/serval/internal/mesh"
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

	service  sal.Name   // as dialled
	port     uint16     // as dialled
	ports    bool       // each datagram has a port in front, see port.go
	cut      uint16     // the last datagram that left in pieces
	puzzles  puzzles    // those that arrive so; the inbox's
	first    sal.FlowID // the peer's, of the flow that the token is for
	listener *Listener  // that it came in by; nil if dialled here

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
	wake    flow.Time     // when the timer fires; 0 when it is not armed
	linger  flow.Time     // when a finished connection is forgotten; 0 while it is not finished
	orphan  flow.Time     // when a closed connection stops waiting for the peer to close
	used    flow.Time     // when the application last sent or was sent something
	asked   bool          // it was sent something then; see MoveClients
	idle    time.Duration // unused for so long, it ends; 0 means never
	gone    bool          // out of the flow table
	live    liveness
	pongs   pongs
	began   flow.Time
	onEnd   func()

	// what its flows are to be; see link_mesh.go
	dialled    bool // by this end, which adds the flows
	joiner     handshake.Joiner
	policy     Policy
	wantsFlows bool      // it has carried enough to be worth more than one
	carried    int       // bytes, until then
	think      bool      // reconsider is due
	again      flow.Time // when it is due once more, 0 for never
	warm       flow.Time // when all of several flows are next kept alive
	join       *joining
	bad        map[mesh.Pair]flow.Time // pairs that did not answer, until when they are left alone
	failed     map[mesh.Pair]int
	told       sal.PathsFrame   // what the peer was told last
	peerAddrs  []netip.AddrPort // what it told us
	hints      []netip.AddrPort // where others say that it is
	search     search
	came       arrival       // the packets being received
	waiting    chan struct{} // closed at the next confirmed move; nil if nobody waits
}

// Output implements netstack.Link.
func (l *link) Output(c netstack.Chunk) {
	l.mu.Lock()
	now := l.node.now()
	n := c.Len()
	l.set.Write(c)
	l.used, l.asked = now, false
	l.live.active(now, n)
	l.busy(n)
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

// sendDatagram sends b to a port of the service, or from one at its end. 0 is the
// port as dialled.
func (l *link) sendDatagram(b []byte, port uint16) error {
	var room [portLen]byte
	head, err := l.portHead(room[:0], port)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		if err := l.set.Err(); err != nil {
			return cause(err)
		}
		return ErrClosed
	}
	err = l.set.SendDatagram(head, b)
	if err == flowset.ErrTooLong {
		if err = errTooLong; l.ports {
			err = l.sendPieces(b, binary.BigEndian.Uint16(head))
		}
	}
	if err != nil {
		return err
	}
	now := l.node.now()
	l.used, l.asked = now, false
	l.live.active(now, len(b))
	l.pump(now)
	return nil
}

func (l *link) remoteAddr() *Addr {
	a := l.remote
	l.mu.Lock()
	a.Underlay = l.paths[0].remote
	for i := range l.paths {
		if l.set.State(uint8(i)) == flowset.Active {
			a.Underlay = l.paths[i].remote
			break
		}
	}
	l.mu.Unlock()
	return &a
}

// pump sends everything that may leave now and arms the timer for the rest.
// The caller holds mu.
func (l *link) pump(now flow.Time) {
	if l.gone {
		return
	}
	if l.think {
		l.reconsider(now)
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
		if err := p.send((*buf)[:head+n], seg); err != nil && f != nil {
			l.sendFailed(now, f, seg, err)
		}
	}
	trains.Put(buf)
	l.settle(now)
	l.arm(now)
}

// sendFailed learns that the system refused packets of a flow. That is a lost
// path, never a lost connection: the data goes by another, if there is one.
func (l *link) sendFailed(now flow.Time, f *flow.Flow, seg int, err error) {
	switch {
	case errors.Is(err, underlay.ErrTooBig):
		f.TooBig(seg)
	case len(l.paths) > 1 && l.set.State(f.Index) == flowset.Active:
		l.set.SetState(now, f.Index, flowset.Suspect)
	}
}

// trains are buffers for one system call's worth of packets.
var trains = sync.Pool{New: func() any { b := make([]byte, underlay.MaxPayload); return &b }}
