package underlay

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// A kernel that offers UDP_SEGMENT may still refuse it for a socket or a
// device: here as it does for sockets without checksums.
func TestSegmentationFailsLate(t *testing.T) {
	var u UDP
	got := make(chan []byte, 64)
	b := listen(t, &u, netip.AddrPortFrom(loopbacks[0], 0), func(b *Batch) {
		datagrams(b, func(d []byte) { got <- bytes.Clone(d) })
	})
	defer b.Close()
	a := listen(t, &u, netip.AddrPortFrom(loopbacks[0], 0), ignore).(*socket)
	defer a.Close()
	if !a.gso.Load() {
		t.Skip("no UDP_SEGMENT here")
	}
	a.raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
			t.Fatal(err)
		}
	})
	for range 2 {
		if err := a.Send([]byte("helloworld!"), 5, b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"hello", "world", "!"} {
			if d := <-got; string(d) != want {
				t.Fatalf("got %q, want %q", d, want)
			}
		}
		if a.gso.Load() {
			t.Fatal("still in use")
		}
	}
}

// Segments that are too big are the sender's mistake, not the device's.
func TestSegmentsTooBig(t *testing.T) {
	var u UDP
	addrs, err := u.LocalAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		s := listen(t, &u, netip.AddrPortFrom(addr, 0), ignore).(*socket)
		defer s.Close()
		mtu := s.MTU()
		if mtu == 0 || mtu > 9000 || !s.gso.Load() {
			continue
		}
		// Any destination will do, as nothing is to leave.
		next := netip.AddrPortFrom(addr.Prev(), 9)
		if src, err := u.SourceFor(next.Addr()); err != nil || src != addr {
			continue
		}
		if err := s.Send(make([]byte, 4*(mtu+1)), mtu+1, next); !errors.Is(err, ErrTooBig) {
			t.Errorf("%v: %v", addr, err)
		}
		if !s.gso.Load() {
			t.Error("given up")
		}
		return
	}
	t.Skip("only jumbo interfaces")
}

func TestDropped(t *testing.T) {
	var u UDP
	s := listen(t, &u, netip.AddrPortFrom(loopbacks[0], 0), ignore).(*socket)
	defer s.Close()
	w := newSender(s)
	w.call = func(uintptr) { w.errno = unix.EAGAIN }
	if err := w.send(make([]byte, 250), 100, s.local); err != nil || u.Dropped() != 3 {
		t.Errorf("%v, %d dropped", err, u.Dropped())
	}
}
