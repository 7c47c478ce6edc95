package underlay

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
)

var loopbacks = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}

// variants are the ways in which a socket may work on this system.
var variants = []struct {
	name string
	off  feature
}{
	{"offload", 0},
	{"no-gso", segmentOut},
	{"no-gro", mergeIn},
	{"mmsg", segmentOut | mergeIn},
	{"plain", batching},
}

// each runs f for all variants over IPv4 and IPv6.
func each(t *testing.T, f func(t *testing.T, u *UDP, addr netip.AddrPort)) {
	for _, v := range variants {
		for _, ip := range loopbacks {
			t.Run(fmt.Sprintf("%s/%v", v.name, ip), func(t *testing.T) {
				if c, err := net.ListenUDP(family(ip), &net.UDPAddr{IP: ip.AsSlice()}); err != nil {
					t.Skip(err)
				} else {
					c.Close()
				}
				before := runtime.NumGoroutine()
				f(t, &UDP{disable: v.off}, netip.AddrPortFrom(ip, 0))
				for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; {
					if runtime.Gosched(); time.Now().After(end) {
						t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
					}
				}
			})
		}
	}
}

func listen(t testing.TB, u *UDP, addr netip.AddrPort, h Handler) Socket {
	t.Helper()
	s, err := u.Listen(addr, h)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ignore(*Batch) {}

// datagrams calls f for each datagram of b.
func datagrams(b *Batch, f func([]byte)) {
	for d := b.Data; len(d) > 0; d = d[min(b.Seg, len(d)):] {
		f(d[:min(b.Seg, len(d))])
	}
}

func TestBatchRoundTrip(t *testing.T) {
	each(t, func(t *testing.T, u *UDP, addr netip.AddrPort) {
		got := make(chan []byte, 1024)
		from := make(chan netip.AddrPort, 1024)
		b := listen(t, u, addr, func(b *Batch) {
			datagrams(b, func(d []byte) {
				got <- bytes.Clone(d)
				from <- b.From
			})
		})
		defer b.Close()
		a := listen(t, u, addr, ignore)
		defer a.Close()

		// Odd tails, exact multiples, more segments and bytes than one call takes.
		for _, c := range []struct{ size, seg int }{
			{1, 1}, {1200, 1200}, {1201, 1200}, {2400, 1200}, {60_001, 1472},
			{100_000, 1200}, {777, 10}, {500, 0}, {5, 100},
		} {
			buf := make([]byte, c.size)
			for i := range buf {
				buf[i] = byte(i * 31 / 7)
			}
			if err := a.Send(buf, c.seg, b.LocalAddr()); err != nil {
				t.Fatal(c, err)
			}
			seg := c.seg
			if seg == 0 {
				seg = c.size
			}
			for len(buf) > 0 {
				want := buf[:min(seg, len(buf))]
				buf = buf[len(want):]
				if d := <-got; !bytes.Equal(d, want) {
					t.Fatalf("%v: got %d bytes, want %d", c, len(d), len(want))
				}
				if f := <-from; f != a.LocalAddr() {
					t.Fatalf("from %v, want %v", f, a.LocalAddr())
				}
			}
		}
	})
}

func TestTooBig(t *testing.T) {
	each(t, func(t *testing.T, u *UDP, addr netip.AddrPort) {
		a := listen(t, u, addr, ignore)
		defer a.Close()
		if a.MTU() < 1000 {
			t.Fatal("MTU", a.MTU())
		}
		if err := a.Send(make([]byte, a.MTU()), a.MTU(), a.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{a.MTU() + 1, MaxPayload + 1, 70_000} {
			if err := a.Send(make([]byte, n), n, a.LocalAddr()); !errors.Is(err, ErrTooBig) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	})
}

func TestConcurrentSend(t *testing.T) {
	each(t, func(t *testing.T, u *UDP, addr netip.AddrPort) {
		const senders, rounds = 4, 50
		var got sync.WaitGroup
		got.Add(senders * rounds * 3)
		b := listen(t, u, addr, func(b *Batch) {
			datagrams(b, func(d []byte) {
				if bytes.Count(d, d[:1]) != len(d) {
					t.Errorf("mixed datagram % x", d)
				}
				got.Done()
			})
		})
		defer b.Close()
		a := listen(t, u, addr, ignore)
		defer a.Close()
		for i := range senders {
			go func() {
				for range rounds {
					if err := a.Send(bytes.Repeat([]byte{byte(i)}, 250), 100, b.LocalAddr()); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		got.Wait()
	})
}

// A refused datagram, or any other trouble with one peer, leaves the socket
// usable for the others.
func TestRefusedPeer(t *testing.T) {
	each(t, func(t *testing.T, u *UDP, addr netip.AddrPort) {
		gone := listen(t, u, addr, ignore)
		gone.Close()
		got := make(chan bool, 16)
		b := listen(t, u, addr, func(*Batch) { got <- true })
		defer b.Close()
		for range 4 {
			if err := b.Send([]byte("x"), 1, gone.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Send([]byte("x"), 1, b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		<-got
	})
}

func TestCloseWhileBusy(t *testing.T) {
	each(t, func(t *testing.T, u *UDP, addr netip.AddrPort) {
		var a Socket
		first := make(chan bool)
		var once sync.Once
		opened := make(chan bool)
		a = listen(t, u, addr, func(b *Batch) {
			<-opened
			once.Do(func() { close(first) })
			a.Send([]byte("again"), 5, a.LocalAddr())
		})
		close(opened)
		a.Send([]byte("first"), 5, a.LocalAddr())
		<-first
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if err := a.Send([]byte("late"), 4, a.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
		if a.Close() == nil {
			t.Fatal("second Close succeeded")
		}
	})
}

func TestWrongFamily(t *testing.T) {
	var u UDP
	a := listen(t, &u, netip.AddrPortFrom(loopbacks[0], 0), ignore)
	defer a.Close()
	if err := a.Send([]byte("x"), 1, netip.MustParseAddrPort("[2001:db8::1]:9")); err == nil {
		t.Fatal("sent to IPv6 from an IPv4 socket")
	}
	mapped := netip.AddrPortFrom(netip.AddrFrom16(loopbacks[0].As16()), a.LocalAddr().Port())
	if err := a.Send([]byte("x"), 1, mapped); err != nil {
		t.Fatal("IPv4 in IPv6 form:", err)
	}
}

func TestAddrs(t *testing.T) {
	u := UDP{Loopback: true}
	addrs, err := u.LocalAddrs()
	if err != nil {
		t.Fatal(err)
	}
	loop := false
	for _, a := range addrs {
		if loop = loop || a.IsLoopback(); a.IsLinkLocalUnicast() || a.IsMulticast() || a.Is4In6() {
			t.Error(a)
		}
	}
	if !loop {
		t.Error("no loopback address in", addrs)
	}
	for range 2 { // from the table, then from the cache
		if src, err := u.SourceFor(loopbacks[0]); err != nil || src != loopbacks[0] {
			t.Errorf("SourceFor(%v) = %v, %v", loopbacks[0], src, err)
		}
	}
}

func TestListenInUse(t *testing.T) {
	var u UDP
	a := listen(t, &u, netip.AddrPortFrom(loopbacks[0], 0), ignore)
	defer a.Close()
	if b, err := u.Listen(a.LocalAddr(), ignore); err == nil {
		b.Close()
		t.Fatal("two sockets on", a.LocalAddr())
	}
}
