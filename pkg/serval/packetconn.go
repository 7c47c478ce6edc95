package serval

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/pkg/sal"
)

// SafeDatagram is how many bytes a datagram may have on every path. A connection
// may carry longer ones, see Conn.MaxDatagram; what is too long is an error that
// satisfies errors.Is with syscall.EMSGSIZE, as on a UDP socket. Where datagrams
// have ports (Dialer.Port), it is 2 bytes less.
const SafeDatagram = 1204

// maxCorrespondents bounds the connections that a PacketConn accepts. Others are
// refused, so that they go to other instances.
const maxCorrespondents = 16384

// PacketConn sends datagrams to services, and receives those sent to a service
// of its own, if it has one: a net.PacketConn whose addresses are *Addr. Below
// it every correspondent has an encrypted datagram connection, so that an
// address stays good while the peer moves. All methods are safe for concurrent
// use.
//
// What may wait to be read is bounded (SetReadBuffer), in all and for each
// correspondent; what arrives beyond that is dropped. To whom nothing was written
// for half a minute, and who wrote nothing, the connection ends, and the next
// datagram opens another; those that others opened are theirs to end.
type PacketConn struct {
	listener  *Listener // nil if nothing is served
	node      *Node
	local     Addr
	want      want // of its dials
	inbox     *inbox
	writing   deadline // of writes that wait for a connection
	instances instances
	draws     draws

	mu       sync.Mutex
	accepted map[sal.FlowID]*link
	closed   bool

	once  sync.Once
	ended chan struct{}
}

var _ net.PacketConn = (*PacketConn)(nil)

// ListenPacket makes this node an instance of a datagram service.
func (n *Node) ListenPacket(service string) (*PacketConn, error) {
	return n.listenPacket(context.Background(), ListenConfig{}, service)
}

func (n *Node) listenPacket(ctx context.Context, lc ListenConfig, service string) (*PacketConn, error) {
	p := n.newPacketConn(want{})
	l, err := n.listen(ctx, lc, service, p)
	if err != nil {
		return nil, err
	}
	p.listener, p.local = l, l.addr
	if err := p.endWithNode(); err != nil {
		p.Close()
		return nil, &OpError{Op: "listen", Service: service, Err: err}
	}
	return p, nil
}

// DialPacket opens a PacketConn that serves nothing: it writes to services, and
// is answered.
func (n *Node) DialPacket() (*PacketConn, error) { return n.dialPacket(want{}) }

func (n *Node) dialPacket(w want) (*PacketConn, error) {
	p := n.newPacketConn(w)
	if err := p.endWithNode(); err != nil {
		return nil, &OpError{Op: "dial", Service: "datagrams", Err: err}
	}
	return p, nil
}

func (n *Node) newPacketConn(w want) *PacketConn {
	w.datagram, w.shared = true, newSharedInbox()
	p := &PacketConn{node: n, want: w, inbox: w.shared, local: n.localAddr(""),
		accepted: make(map[sal.FlowID]*link), ended: make(chan struct{})}
	p.writing.init()
	p.instances.init(p)
	return p
}

// endWithNode has the PacketConn closed with its node.
func (p *PacketConn) endWithNode() error {
	n := p.node
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return errNodeClosed
	}
	n.wg.Go(func() {
		select {
		case <-n.quit:
			p.end(errNodeClosed)
		case <-p.ended:
		}
	})
	return nil
}

// Listener returns the instance's listener, to change or drain it; nil if the
// PacketConn serves nothing. Connections to it come to the PacketConn.
func (p *PacketConn) Listener() *Listener { return p.listener }

// full reports whether there is no room for another correspondent.
func (p *PacketConn) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.accepted) >= maxCorrespondents
}

// adopt takes an accepted datagram connection. It reports false when there is no
// room or the PacketConn is closed.
func (p *PacketConn) adopt(l *link) bool {
	key := l.paths[0].flow.Local
	p.mu.Lock()
	if p.closed || len(p.accepted) >= maxCorrespondents {
		p.mu.Unlock()
		return false
	}
	p.accepted[key] = l
	p.mu.Unlock()
	l.whenOver(func() {
		p.mu.Lock()
		delete(p.accepted, key)
		p.mu.Unlock()
	})
	return true
}

// ReadFrom waits for the next datagram; what does not fit b is lost. The
// address is a *Addr to answer with WriteTo.
func (p *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	m, err := p.inbox.get()
	if err != nil {
		return 0, nil, &OpError{Op: "read", Service: p.local.String(), Err: err}
	}
	a := m.from.remoteAddr()
	a.link, a.Port = m.from, m.port
	return copy(b, m.b), a, nil
}

// Close withdraws the service, if there is one, and ends all connections.
func (p *PacketConn) Close() error {
	p.end(net.ErrClosed)
	return nil
}

func (p *PacketConn) end(err error) {
	p.once.Do(func() {
		if p.listener != nil {
			p.listener.Close()
		}
		p.inbox.close(err)
		p.mu.Lock()
		p.closed = true
		all := make([]*link, 0, len(p.accepted))
		for _, l := range p.accepted {
			all = append(all, l)
		}
		p.mu.Unlock()
		close(p.ended)
		for _, l := range append(all, p.instances.close()...) {
			l.abort(flowset.ResetAborted, "closed")
		}
	})
}

// LocalAddr returns the *Addr of the service, or of the node if nothing is
// served.
func (p *PacketConn) LocalAddr() net.Addr { return &p.local }

// SetDeadline implements net.PacketConn.
func (p *PacketConn) SetDeadline(t time.Time) error {
	p.SetReadDeadline(t)
	return p.SetWriteDeadline(t)
}

// SetReadDeadline implements net.PacketConn.
func (p *PacketConn) SetReadDeadline(t time.Time) error {
	p.inbox.deadline.set(t)
	return nil
}

// SetWriteDeadline implements net.PacketConn. Writing waits only where a
// connection must be opened first.
func (p *PacketConn) SetWriteDeadline(t time.Time) error {
	p.writing.set(t)
	return nil
}

// SetReadBuffer sets how many bytes may wait to be read, each datagram counting
// 128 more than it has; 4 MiB unless set, and never less than 256 KiB. A single
// correspondent gets a quarter of it.
func (p *PacketConn) SetReadBuffer(bytes int) error {
	p.inbox.resize(bytes)
	return nil
}

// SetWriteBuffer changes nothing: up to 256 datagrams wait for each instance's
// path, and the oldest make room. Programs for UDP sockets call it.
func (p *PacketConn) SetWriteBuffer(int) error { return nil }
