package underlay

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// plain is a socket for systems without batching: one call per datagram.
type plain struct {
	udp     *UDP
	conn    *net.UDPConn
	local   netip.AddrPort
	mtu     payloadMTU
	closing atomic.Bool
	done    chan struct{} // closed when the reader has ended
}

func newPlain(u *UDP, c *net.UDPConn, h Handler) *plain {
	s := &plain{udp: u, conn: c, local: localAddr(c), done: make(chan struct{})}
	s.mtu.init(s.local.Addr())
	u.add(s)
	go s.read(h)
	return s
}

func (s *plain) read(h Handler) {
	defer close(s.done)
	buf := make([]byte, readSize)
	b := Batch{Socket: s}
	for failed := 0; !s.closing.Load(); {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// An ICMP error concerns one peer only; what lasts must not burn CPU.
			if failed++; failed > 8 {
				time.Sleep(time.Millisecond)
			}
			continue
		}
		failed = 0
		if n > 0 {
			b.Data, b.Seg = buf[:n], n
			b.From = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			h(&b)
		}
	}
}

func (s *plain) Send(buf []byte, seg int, to netip.AddrPort) error {
	limit := MaxPayload
	if mtu := s.mtu.get(); mtu > 0 {
		limit = mtu
	}
	if seg <= 0 || seg > len(buf) {
		seg = len(buf)
	}
	if seg > limit {
		return ErrTooBig
	}
	for len(buf) > 0 {
		n := min(seg, len(buf))
		if _, err := s.conn.WriteToUDPAddrPort(buf[:n], to); tooBig(err) {
			return ErrTooBig
		} else if err != nil {
			return sendError(to, err)
		}
		buf = buf[n:]
	}
	return nil
}

func (s *plain) LocalAddr() netip.AddrPort { return s.local }
func (s *plain) MaxBatch() int             { return MaxPayload }
func (s *plain) MTU() int                  { return s.mtu.get() }

func (s *plain) refresh() { s.mtu.forget() }

func (s *plain) Close() error {
	s.udp.remove(s)
	s.closing.Store(true)
	err := s.conn.Close()
	<-s.done
	return err
}
