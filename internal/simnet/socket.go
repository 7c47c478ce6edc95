package simnet

import (
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/serval-net/serval/internal/underlay"
)

// socket implements underlay.Socket.
type socket struct {
	host  *Host
	local netip.AddrPort
	in    inbox
	done  chan struct{} // closed when the reader has ended
}

func newSocket(h *Host, local netip.AddrPort, handler underlay.Handler) *socket {
	s := &socket{host: h, local: local, done: make(chan struct{})}
	s.in.ready.L = &s.in.mu
	go s.read(handler)
	return s
}

func (s *socket) read(h underlay.Handler) {
	defer close(s.done)
	b := underlay.Batch{Socket: s}
	for {
		p, ok := s.in.take()
		if !ok {
			return
		}
		b.Data, b.Seg, b.From = p.data(), min(p.seg, p.len), p.from
		h(&b)
		p.buf.release()
	}
}

func (s *socket) Send(buf []byte, seg int, to netip.AddrPort) error {
	n := s.host.net
	for len(buf) > 0 {
		m := min(len(buf), max(underlay.MaxPayload/seg, 1)*seg)
		p := packet{len: m, seg: seg, from: s.local, to: to}
		if m <= 1<<16 {
			p.buf = newBuffer(buf[:m])
		}
		if err := n.send(s, p); err != nil {
			return err
		}
		buf = buf[m:]
	}
	return nil
}

// send puts p on the wire.
func (n *Network) send(s *socket, p packet) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var err error
	p.iface = s.host.iface(p.from.Addr())
	if s.local.Addr().IsUnspecified() {
		p.iface = s.host.source(p.to.Addr())
	}
	switch {
	case s.in.isClosed():
		err = net.ErrClosed
	case p.iface == nil || !p.iface.up || p.iface.addr.Is4() != p.to.Addr().Is4():
		err = syscall.ENETUNREACH
	case min(p.seg, p.len) > p.iface.uplink.payload(headers(p.to.Addr())):
		err = underlay.ErrTooBig
	}
	if err != nil {
		if p.buf != nil {
			p.buf.release()
		}
		return err
	}
	p.from = netip.AddrPortFrom(p.iface.addr, p.from.Port())
	n.forward(p, n.now())
	return nil
}

func (s *socket) LocalAddr() netip.AddrPort { return s.local }
func (s *socket) MaxBatch() int             { return underlay.MaxPayload }

func (s *socket) MTU() int {
	n := s.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	ifc := s.host.iface(s.local.Addr())
	if ifc == nil {
		return 0
	}
	return ifc.uplink.payload(headers(ifc.addr))
}

func (s *socket) Close() error {
	n := s.host.net
	n.mu.Lock()
	if s.host.socks[s.local] == s {
		delete(s.host.socks, s.local)
	}
	n.mu.Unlock()
	s.in.close()
	<-s.done
	return nil
}

// headers is the size of the IP and UDP headers.
func headers(a netip.Addr) int {
	if a.Is4() {
		return 20 + 8
	}
	return 40 + 8
}

// inboxSize is the receive buffer of a socket, in bytes of payload.
const inboxSize = 4 << 20

// inbox is a bounded queue between the network and a socket's reader.
type inbox struct {
	mu     sync.Mutex
	ready  sync.Cond
	queue  []packet // from head
	head   int
	bytes  int
	closed bool
}

// put appends p, and reports whether there was room.
func (in *inbox) put(p packet) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed || in.bytes+p.len > inboxSize {
		return false
	}
	in.queue = append(in.queue, p)
	in.bytes += p.len
	in.ready.Signal()
	return true
}

// take waits for the next packet, joined with those that follow it where they
// were sent as one batch.
func (in *inbox) take() (packet, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.queue) == in.head && !in.closed {
		in.ready.Wait()
	}
	if in.closed {
		for _, p := range in.queue[in.head:] {
			p.buf.release()
		}
		in.queue = nil
		return packet{}, false
	}
	p := in.queue[in.head]
	in.head++
	for in.head < len(in.queue) && p.join(in.queue[in.head]) {
		in.head++
	}
	in.bytes -= p.len
	if in.head == len(in.queue) {
		in.queue, in.head = in.queue[:0], 0
	} else if in.head > 1024 && in.head > len(in.queue)/2 {
		in.queue = in.queue[:copy(in.queue, in.queue[in.head:])]
		in.head = 0
	}
	return p, true
}

func (in *inbox) isClosed() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.closed
}

func (in *inbox) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.ready.Broadcast()
}
