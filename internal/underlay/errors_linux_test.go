package underlay

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// idle opens a socket whose reader runs only when the test calls its drain.
func idle(t *testing.T, ip netip.Addr, h Handler) (*socket, *reader) {
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) { setOptions(fd, ip.Is4()) })
	}}
	c, err := lc.ListenPacket(context.Background(), family(ip), netip.AddrPortFrom(ip, 0).String())
	if err != nil {
		t.Skip(err)
	}
	s, err := newSocket(&UDP{}, c.(*net.UDPConn))
	if err != nil {
		t.Fatal(err)
	}
	close(s.done)
	t.Cleanup(func() { s.Close() })
	return s, newReader(s, h)
}

// drain lets r read all there is, once; false means that it would then sleep.
func drain(r *reader) (done bool) {
	r.s.raw.Control(func(fd uintptr) { done = r.drain(fd) })
	return done
}

func closedPort(t *testing.T, u *UDP, ip netip.Addr) netip.AddrPort {
	s := listen(t, u, netip.AddrPortFrom(ip, 0), ignore)
	s.Close()
	return s.LocalAddr()
}

// Reports and datagrams queue up together; all come out, each once, and the
// reader goes to sleep after them. Loopback answers within the system call.
func TestReportsAndDatagrams(t *testing.T) {
	for _, ip := range loopbacks {
		t.Run(ip.String(), func(t *testing.T) {
			var received, quoted []byte
			s, r := idle(t, ip, func(b *Batch) { received = append(received, b.Data...) })
			gone := closedPort(t, &UDP{}, ip)
			s.OnUnreachable(func(u Unreachable) {
				if u.To != gone || !u.Port || u.MTU != 0 {
					t.Errorf("%+v", u)
				}
				quoted = append(quoted, u.Quoted...)
			})
			const n = 3 * maxErrors
			for i := range byte(n) {
				for _, to := range []netip.AddrPort{gone, s.local} {
					if err := s.Send([]byte{i}, 1, to); err != nil {
						t.Fatal(err)
					}
				}
			}
			for range 2 { // the second time there is nothing left
				if drain(r) {
					t.Fatal("the reader ended")
				}
				if len(received) != n || len(quoted) != n {
					t.Fatalf("%d received, %d reported of %d", len(received), len(quoted), n)
				}
			}
			for i := range n {
				if received[i] != byte(i) || quoted[i] != byte(i) {
					t.Fatal(received, quoted)
				}
			}

			s.OnUnreachable(nil)
			s.Send([]byte("x"), 1, gone)
			if drain(r); len(quoted) != n {
				t.Error("reported after the end")
			}
		})
	}
}

// A segmented batch that nobody wants, longer than a report quotes.
func TestReportQuotesTheStart(t *testing.T) {
	for _, ip := range loopbacks {
		s, r := idle(t, ip, ignore)
		var got []byte
		s.OnUnreachable(func(u Unreachable) {
			if got == nil {
				got = bytes.Clone(u.Quoted)
			}
		})
		buf := make([]byte, 5000)
		for i := range buf {
			buf[i] = byte(i * 31 / 7)
		}
		if err := s.Send(buf, 1250, closedPort(t, &UDP{}, ip)); err != nil {
			t.Fatal(err)
		}
		drain(r)
		if len(got) < 64 || len(got) > maxQuote || !bytes.Equal(got, buf[:len(got)]) {
			t.Errorf("%v: %d bytes quoted: % x", ip, len(got), got)
		}
	}
}

// A conversation goes on while others send to a closed port from the same
// socket: neither direction loses a datagram to somebody else's error.
func TestStormOfReports(t *testing.T) {
	each(t, func(t *testing.T, u *UDP, addr netip.AddrPort) {
		gone := closedPort(t, u, addr.Addr())
		echo := listen(t, u, addr, func(b *Batch) { b.Socket.Send(b.Data, b.Seg, b.From) })
		defer echo.Close()
		back := make(chan int, 16)
		s := listen(t, u, addr, func(b *Batch) { datagrams(b, func(d []byte) { back <- len(d) }) })
		defer s.Close()
		er, ok := s.(ErrorReporter)
		if !ok {
			t.Skip("reports nothing")
		}
		var sent, reported atomic.Int64
		er.OnUnreachable(func(u Unreachable) {
			if u.To != gone || string(u.Quoted) != "storm" {
				t.Errorf("%+v", u)
			}
			reported.Add(1)
		})
		var storm sync.WaitGroup
		var over atomic.Bool
		defer storm.Wait()
		defer over.Store(true)
		for range 2 {
			storm.Go(func() {
				for !over.Load() {
					// Reports take room from datagrams in the receive buffer.
					if sent.Load()-reported.Load() > 100 {
						runtime.Gosched()
						continue
					}
					sent.Add(1)
					if err := s.Send([]byte("storm"), 5, gone); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range 300 {
			if err := s.Send(make([]byte, 250), 100, echo.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			if a, b, c := <-back, <-back, <-back; a+b+c != 250 {
				t.Fatal(a, b, c)
			}
		}
		for reported.Load() < 100 {
			runtime.Gosched()
		}
	})
}

func TestInterpretErrors(t *testing.T) {
	at4 := netip.MustParseAddrPort("192.0.2.1:7")
	at6 := netip.MustParseAddrPort("[2001:db8::1]:7")
	for _, c := range []struct {
		origin, kind, code uint8
		info               uint32
		to                 netip.AddrPort
		ok, port           bool
		mtu                int
	}{
		{unix.SO_EE_ORIGIN_ICMP, 3, 3, 0, at4, true, true, 0},
		{unix.SO_EE_ORIGIN_ICMP, 3, 1, 0, at4, true, false, 0},
		{unix.SO_EE_ORIGIN_ICMP, 3, 4, 1400, at4, true, false, 1372},
		{unix.SO_EE_ORIGIN_ICMP, 3, 4, 0, at4, false, false, 0},
		{unix.SO_EE_ORIGIN_ICMP, 3, 4, 28, at4, false, false, 0},
		{unix.SO_EE_ORIGIN_ICMP, 11, 0, 0, at4, false, false, 0},
		{unix.SO_EE_ORIGIN_ICMP6, 1, 4, 0, at6, true, true, 0},
		{unix.SO_EE_ORIGIN_ICMP6, 1, 3, 0, at6, true, false, 0},
		{unix.SO_EE_ORIGIN_ICMP6, 2, 0, 1280, at6, true, false, 1232},
		{unix.SO_EE_ORIGIN_ICMP6, 2, 0, 1 << 31, at6, true, false, MaxPayload},
		{unix.SO_EE_ORIGIN_ICMP6, 4, 0, 0, at6, false, false, 0},
		{unix.SO_EE_ORIGIN_LOCAL, 0, 0, 1500, at4, false, false, 0},
	} {
		var q errorQueue
		q.init()
		q.to.set(c.to, c.to.Addr().Is4())
		q.hdr.Namelen = q.to.len()
		q.hdr.SetControllen(int(unsafe.Sizeof(q.oob)))
		q.oob.err = unix.SockExtendedErr{Origin: c.origin, Type: c.kind, Code: c.code, Info: c.info}
		u, ok := q.unreachable(3)
		if ok != c.ok || ok && (u.To != c.to || u.Port != c.port || u.MTU != c.mtu || len(u.Quoted) != 3) {
			t.Errorf("%+v: %+v, %v", c, u, ok)
		}
	}
}
