package underlay

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// plain is a socket for systems without batching: one call per datagram.
type plain struct {
	conn  *net.UDPConn
	local netip.AddrPort
	mtu   int
	done  chan struct{} // closed when the reader has ended
}

func newPlain(c *net.UDPConn, h Handler) *plain {
	s := &plain{conn: c, local: localAddr(c), done: make(chan struct{})}
	s.mtu = payloadMTU(s.local.Addr())
	go s.read(h)
	return s
}

func (s *plain) read(h Handler) {
	defer close(s.done)
	buf := make([]byte, 1<<16)
	b := Batch{Socket: s}
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n == 0 {
			continue // an ICMP error reported here concerns one peer only
		}
		b.Data, b.Seg = buf[:n], n
		b.From = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		h(&b)
	}
}

func (s *plain) Send(buf []byte, seg int, to netip.AddrPort) error {
	limit := MaxPayload
	if s.mtu > 0 {
		limit = s.mtu
	}
	if min(seg, len(buf)) > limit {
		return ErrTooBig
	}
	for len(buf) > 0 {
		n := min(seg, len(buf))
		if _, err := s.conn.WriteToUDPAddrPort(buf[:n], to); err != nil {
			if errors.Is(err, syscall.EMSGSIZE) {
				return ErrTooBig
			}
			return err
		}
		buf = buf[n:]
	}
	return nil
}

func (s *plain) LocalAddr() netip.AddrPort { return s.local }
func (s *plain) MaxBatch() int             { return MaxPayload }
func (s *plain) MTU() int                  { return s.mtu }

func (s *plain) Close() error {
	err := s.conn.Close()
	<-s.done
	return err
}
