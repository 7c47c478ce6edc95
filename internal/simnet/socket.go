package simnet

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"github.com/serval-net/serval/internal/underlay"
)

// socket implements underlay.Socket.
type socket struct {
	host  *Host
	local netip.AddrPort
	in    inbox
	done  chan struct{} // closed when the reader has ended

	onUnreachable atomic.Pointer[func(underlay.Unreachable)]
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
		if p.report != nil {
			s.unreachable(p)
		} else {
			b.Data, b.Seg, b.From = p.data(), min(p.seg, p.len), p.from
			h(&b)
		}
		p.buf.release()
	}
}

func (s *socket) Send(buf []byte, seg int, to netip.AddrPort) error {
	if seg <= 0 || seg > len(buf) {
		seg = len(buf)
	}
	if seg > underlay.MaxPayload {
		return underlay.ErrTooBig
	}
	for len(buf) > 0 {
		m := min(len(buf), underlay.MaxPayload/seg*seg)
		p := packet{len: m, seg: seg, to: to, buf: newBuffer(buf[:m])}
		if err := s.send(p); err != nil {
			return err
		}
		buf = buf[m:]
	}
	return nil
}

// send puts p on the wire.
func (s *socket) send(p packet) error {
	n := s.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := s.address(&p); err != nil {
		p.buf.release()
		return err
	}
	tap := n.tap
	if tap == nil {
		n.forward(p, n.now())
		return nil
	}
	n.mu.Unlock()
	on := tap.apply(p)
	n.mu.Lock()
	for _, p := range on {
		n.forward(p, n.now())
	}
	return nil
}

// address gives p its source, as seen by the receiver.
func (s *socket) address(p *packet) error {
	h := s.host
	from := s.local.Addr()
	if from.IsUnspecified() && from.Is4() == p.to.Addr().Is4() {
		from, _ = h.source(p.to.Addr())
	}
	p.iface = h.iface(from)
	switch {
	case s.in.isClosed():
		return net.ErrClosed
	case p.iface == nil || !p.iface.up || from.Is4() != p.to.Addr().Is4():
		return fmt.Errorf("simnet: cannot send from %v to %v: %w", s.local, p.to, syscall.ENETUNREACH)
	case p.seg > p.iface.uplink.payload(headers(p.to.Addr())):
		return underlay.ErrTooBig
	}
	p.from = netip.AddrPortFrom(from, s.local.Port())
	h.translate(p)
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
	return ifc.uplink.payload(headers(s.local.Addr()))
}

func (s *socket) Close() error {
	n := s.host.net
	n.mu.Lock()
	open := s.host.socks[s.local] == s
	if open {
		delete(s.host.socks, s.local)
	}
	n.mu.Unlock()
	s.in.close()
	<-s.done
	if !open {
		return net.ErrClosed
	}
	return nil
}

// headers is the size of the IP and UDP headers.
func headers(a netip.Addr) int {
	if a.Is4() {
		return 20 + 8
	}
	return 40 + 8
}
