package serval

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/pkg/sal"
)

// PacketConn receives datagrams sent to a service and answers them: a
// net.PacketConn whose addresses are *Addr. Below it every correspondent has an
// encrypted datagram connection of its own, so that ReadFrom's address stays
// good while the peer moves.
type PacketConn struct {
	listener *Listener // nil if nothing is served
	node     *Node
	inbox    *inbox

	mu       sync.Mutex
	closed   bool
	dialled  map[string]*outgoing // by service
	accepted map[sal.FlowID]*link
}

// outgoing is the connection to a service that someone wrote to first.
type outgoing struct {
	once sync.Once
	link *link
	err  error
}

var _ net.PacketConn = (*PacketConn)(nil)

// ListenPacket makes this node an instance of a datagram service.
func (n *Node) ListenPacket(service string) (*PacketConn, error) {
	return n.listenPacket(context.Background(), ListenConfig{}, service)
}

func (n *Node) listenPacket(ctx context.Context, lc ListenConfig, service string) (*PacketConn, error) {
	p := &PacketConn{node: n, inbox: newInbox(),
		dialled: make(map[string]*outgoing), accepted: make(map[sal.FlowID]*link)}
	l, err := n.listen(ctx, lc, service, p)
	if err != nil {
		return nil, err
	}
	p.listener = l
	return p, nil
}

// Listener returns the instance's listener, to change or drain it. Connections
// to it come to the PacketConn.
func (p *PacketConn) Listener() *Listener { return p.listener }

// adopt takes an accepted datagram connection.
func (p *PacketConn) adopt(l *link) {
	key := l.paths[0].flow.Local
	p.mu.Lock()
	p.accepted[key] = l
	p.mu.Unlock()
	l.whenOver(func() {
		p.mu.Lock()
		delete(p.accepted, key)
		p.mu.Unlock()
	})
}

// ReadFrom waits for the next datagram; what does not fit b is lost. The
// address is a *Addr to answer with WriteTo.
func (p *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	m, err := p.inbox.get()
	if err != nil {
		return 0, nil, &OpError{Op: "read", Service: p.listener.name.String(), Err: err}
	}
	a := m.from.remoteAddr()
	a.link = m.from
	return copy(b, m.b), a, nil
}

// WriteTo sends b to whom ReadFrom named, or to any service by an Addr with
// only the Service set, which is dialled first.
func (p *PacketConn) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*Addr)
	if !ok {
		return 0, &OpError{Op: "write", Service: to.String(), Err: because(ErrNoService, "the address is a %T; use the *serval.Addr that ReadFrom returned", to)}
	}
	l := a.link
	if l == nil {
		var err error
		if l, err = p.dial(a.Service); err != nil {
			return 0, err
		}
	}
	if err := l.sendDatagram(b); err != nil {
		return 0, l.wrap("write", err)
	}
	return len(b), nil
}

// dial returns the connection to a service, opening it the first time. Whoever
// writes to it meanwhile waits for the same one.
func (p *PacketConn) dial(service string) (*link, error) {
	p.mu.Lock()
	o := p.dialled[service]
	if o == nil {
		o = new(outgoing)
		p.dialled[service] = o
	}
	p.mu.Unlock()
	o.once.Do(func() { o.open(p, service) })
	return o.link, o.err
}

func (o *outgoing) open(p *PacketConn, service string) {
	forget := func() {
		p.mu.Lock()
		if p.dialled[service] == o {
			delete(p.dialled, service)
		}
		p.mu.Unlock()
	}
	c, err := p.node.dial(context.Background(), service, want{datagram: true, shared: p.inbox})
	if err != nil {
		o.err = err
		forget()
		return
	}
	p.mu.Lock()
	o.link = c.link
	closed := p.closed
	p.mu.Unlock()
	c.link.whenOver(forget)
	if closed {
		c.link.abort(flowset.ResetAborted, "closed")
	}
}

// Close withdraws the service and ends its connections.
func (p *PacketConn) Close() error {
	p.listener.Close()
	p.inbox.close(net.ErrClosed)
	p.mu.Lock()
	p.closed = true
	var all []*link
	for _, o := range p.dialled {
		if o.link != nil {
			all = append(all, o.link)
		}
	}
	for _, l := range p.accepted {
		all = append(all, l)
	}
	p.mu.Unlock()
	for _, l := range all {
		l.abort(flowset.ResetAborted, "closed")
	}
	return nil
}

// LocalAddr returns the service's *Addr.
func (p *PacketConn) LocalAddr() net.Addr { return p.listener.Addr() }

// SetDeadline implements net.PacketConn.
func (p *PacketConn) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (p *PacketConn) SetReadDeadline(t time.Time) error {
	p.inbox.deadline.set(t)
	return nil
}

// SetWriteDeadline implements net.PacketConn. Writing never waits.
func (p *PacketConn) SetWriteDeadline(time.Time) error { return nil }
