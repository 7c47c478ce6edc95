package simnet

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-net/serval/internal/underlay"
)

var (
	addrA = netip.MustParseAddr("192.0.2.1")
	addrB = netip.MustParseAddr("192.0.2.2")
	ms    = time.Millisecond
)

// arrival is a datagram as it was received.
type arrival struct {
	at   time.Duration // since the log began
	from netip.AddrPort
	data string
}

// log is a handler that keeps what it is given, in a bubble's time.
type log struct {
	mu      sync.Mutex
	start   time.Time
	all     []arrival
	batches int
}

func (l *log) handle(b *underlay.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches++
	for d := b.Data; len(d) > 0; d = d[min(b.Seg, len(d)):] {
		l.all = append(l.all, arrival{time.Since(l.start), b.From, string(d[:min(b.Seg, len(d))])})
	}
}

// wait lets d pass and returns the data that arrived since the last wait.
func (l *log) wait(d time.Duration) []string {
	time.Sleep(d) // of the bubble
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	var data []string
	for _, a := range l.all {
		data = append(data, a.data)
	}
	l.all = nil
	return data
}

func listen(t testing.TB, h *Host, addr netip.Addr, port uint16) (underlay.Socket, *log) {
	t.Helper()
	l := &log{start: time.Now()}
	s, err := h.Listen(netip.AddrPortFrom(addr, port), l.handle)
	if err != nil {
		t.Fatal(err)
	}
	return s, l
}

func send(t testing.TB, s underlay.Socket, data string, seg int, to netip.AddrPort) {
	t.Helper()
	if err := s.Send([]byte(data), seg, to); err != nil {
		t.Fatal(err)
	}
}

// pair runs f in a bubble with a socket on each of two hosts.
func pair(t *testing.T, f func(n *Network, a, b underlay.Socket, atB *log)) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		defer n.Close()
		a, _ := listen(t, n.Host(addrA), addrA, 1)
		b, l := listen(t, n.Host(addrB), addrB, 2)
		f(n, a, b, l)
	})
}

func TestBatchStaysWhole(t *testing.T) {
	pair(t, func(n *Network, a, b underlay.Socket, l *log) {
		n.SetPath(addrA, addrB, Params{Delay: 20 * ms})
		send(t, a, "helloworld!", 5, b.LocalAddr())
		time.Sleep(20 * ms)
		synctest.Wait()
		at := l.all[0].at
		if got := l.wait(0); !slices.Equal(got, []string{"hello", "world", "!"}) || l.batches != 1 || at != 20*ms {
			t.Fatalf("%q in %d batches after %v", got, l.batches, at)
		}
	})
}

func TestRateAndQueue(t *testing.T) {
	pair(t, func(n *Network, a, b underlay.Socket, l *log) {
		// 1000 bytes with headers take 8 ms; 5 wait at most 40 ms.
		n.Path(addrA, addrB).Set(Params{Rate: 1e6, Queue: 40 * ms})
		send(t, a, string(make([]byte, 10*972)), 972, b.LocalAddr())
		time.Sleep(time.Second)
		synctest.Wait()
		var at []time.Duration
		for _, x := range l.all {
			at = append(at, x.at)
		}
		if want := []time.Duration{8 * ms, 16 * ms, 24 * ms, 32 * ms, 40 * ms, 48 * ms}; !slices.Equal(at, want) {
			t.Errorf("arrivals %v, want %v", at, want)
		}
		if s := n.Path(addrA, addrB).Stats(); s != (Stats{Packets: 6, Bytes: 6 * 972, Overflowed: 4}) {
			t.Errorf("%+v", s)
		}
	})
}

func TestLossIsSeeded(t *testing.T) {
	run := func(seed uint64, noise bool) (got []string) {
		synctest.Test(t, func(t *testing.T) {
			n := New(seed)
			defer n.Close()
			a, _ := listen(t, n.Host(addrA), addrA, 1)
			b, l := listen(t, n.Host(addrB), addrB, 2)
			n.SetPath(addrA, addrB, Params{Loss: 0.2, Duplicate: 0.1, Reorder: 0.1, Jitter: ms})
			for i := range 500 {
				send(t, a, fmt.Sprint(i), 9, b.LocalAddr())
				if noise { // on another link
					send(t, b, "x", 1, a.LocalAddr())
				}
			}
			got = l.wait(time.Second)
		})
		return got
	}
	one := run(1, false)
	if !slices.Equal(one, run(1, true)) {
		t.Error("same seed, different fate")
	}
	if slices.Equal(one, run(2, false)) {
		t.Error("different seeds, same fate")
	}
	sorted := slices.Clone(one)
	slices.Sort(sorted)
	if n := len(slices.Compact(sorted)); n < 350 || n > 450 || len(one) < n+15 {
		t.Errorf("%d of 500 arrived, %d times", n, len(one))
	}
}

func TestReorderOnly(t *testing.T) {
	pair(t, func(n *Network, a, b underlay.Socket, l *log) {
		n.Path(addrA, addrB).Set(Params{Reorder: 1, ReorderBy: 5 * ms})
		send(t, a, "late", 4, b.LocalAddr())
		n.Path(addrA, addrB).Set(Params{})
		send(t, a, "soon", 4, b.LocalAddr())
		if got := l.wait(time.Second); !slices.Equal(got, []string{"soon", "late"}) {
			t.Fatal(got)
		}
	})
}

func TestMTU(t *testing.T) {
	pair(t, func(n *Network, a, b underlay.Socket, l *log) {
		if a.MTU() != 1472 {
			t.Fatal(a.MTU())
		}
		big := make([]byte, 1473)
		if err := a.Send(big, 1473, b.LocalAddr()); !errors.Is(err, underlay.ErrTooBig) {
			t.Fatal(err)
		}
		n.Path(addrA, addrB).Set(Params{MTU: 1228}) // an inner hop says nothing
		send(t, a, string(big[:1300]), 1300, b.LocalAddr())
		send(t, a, string(big[:1250]), 1200, b.LocalAddr())
		send(t, a, string(big[:1202]), 1201, b.LocalAddr()) // only the tail fits
		got := l.wait(time.Second)
		if len(got) != 3 || len(got[0]) != 1200 || len(got[1]) != 50 || len(got[2]) != 1 {
			t.Fatal(len(got))
		}
	})
}

func TestInterfaceFlap(t *testing.T) {
	pair(t, func(n *Network, a, b underlay.Socket, l *log) {
		host := a.(*socket).host
		ifc := host.Interface(addrA)
		n.SetPath(addrA, addrB, Params{Delay: 10 * ms})

		send(t, a, "1", 1, b.LocalAddr()) // under way when b goes down
		b.(*socket).host.Interface(addrB).SetUp(false)
		if got := l.wait(time.Second); got != nil {
			t.Fatal(got)
		}
		b.(*socket).host.Interface(addrB).SetUp(true)

		ifc.SetUp(false)
		if err := a.Send([]byte("2"), 1, b.LocalAddr()); err == nil {
			t.Fatal("sent from an interface that is down")
		}
		if addrs, _ := host.LocalAddrs(); len(addrs) != 0 {
			t.Fatal(addrs)
		}
		if src, err := host.SourceFor(addrB); err == nil {
			t.Fatal(src)
		}
		ifc.SetUp(true)
		send(t, a, "3", 1, b.LocalAddr())
		n.Path(addrA, addrB).Update(func(p *Params) { p.Blackhole = true })
		send(t, a, "4", 1, b.LocalAddr())
		n.Path(addrA, addrB).Update(func(p *Params) { p.Blackhole = false })
		send(t, a, "5", 1, b.LocalAddr())
		if got := l.wait(time.Second); !slices.Equal(got, []string{"3", "5"}) {
			t.Fatal(got)
		}
	})
}

func TestTap(t *testing.T) {
	pair(t, func(n *Network, a, b underlay.Socket, l *log) {
		var seen []byte
		n.SetTap(func(p *Packet) bool {
			switch p.Data[0] {
			case 'd':
				return false
			case 'm':
				p.Data[1] = '!'
			case 'g':
				p.Data = append(p.Data, "rown"...) // must not run into the next
			case 'r':
				seen = bytes.Clone(p.Data)
			}
			return true
		})
		send(t, a, "m.d.g.r.x", 2, b.LocalAddr())
		forged := netip.MustParseAddrPort("203.0.113.9:9")
		n.Inject(forged, b.LocalAddr(), seen)
		synctest.Wait()
		if from := l.all[len(l.all)-1].from; from != forged {
			t.Error(from)
		}
		if got := l.wait(0); !slices.Equal(got, []string{"m!", "g.rown", "r.", "x", "r."}) {
			t.Errorf("%q", got)
		}
	})
}

func TestSockets(t *testing.T) {
	pair(t, func(n *Network, a, b underlay.Socket, l *log) {
		host := b.(*socket).host
		if _, err := host.Listen(b.LocalAddr(), nil); err == nil {
			t.Error("two sockets on one address")
		}
		if _, err := host.Listen(netip.AddrPortFrom(addrA, 0), nil); err == nil {
			t.Error("listening on another host's address")
		}
		wild, wl := listen(t, host, netip.IPv4Unspecified(), 0)
		send(t, a, "any", 3, netip.AddrPortFrom(addrB, wild.LocalAddr().Port()))
		send(t, wild, "back", 4, b.LocalAddr())
		if got := wl.wait(0); !slices.Equal(got, []string{"any"}) {
			t.Error(got)
		}
		if got := l.wait(0); !slices.Equal(got, []string{"back"}) {
			t.Error(got)
		}
		if err := wild.Close(); err != nil {
			t.Error(err)
		}
		if err := wild.Send([]byte("x"), 1, b.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		send(t, a, "nobody", 6, wild.LocalAddr())
		n.Close()
		if err := a.Send([]byte("x"), 1, b.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// A handler may send, from its socket's own goroutine.
func TestEcho(t *testing.T) {
	pair(t, func(n *Network, a, b underlay.Socket, l *log) {
		host := a.(*socket).host
		_, err := host.Listen(netip.AddrPortFrom(addrA, 7), func(b *underlay.Batch) {
			b.Socket.Send(b.Data, b.Seg, b.From)
		})
		if err != nil {
			t.Fatal(err)
		}
		n.SetPath(addrA, addrB, Params{Delay: ms, Rate: 1e9})
		send(t, b, "hello", 2, netip.AddrPortFrom(addrA, 7))
		if got := l.wait(time.Second); !slices.Equal(got, []string{"he", "ll", "o"}) {
			t.Error(got)
		}
	})
}

func TestReceiveBufferIsBounded(t *testing.T) {
	n := New(1)
	defer n.Close()
	ha, hb := n.Host(addrA), n.Host(addrB)
	a, _ := listen(t, ha, addrA, 1)
	begun, block := make(chan bool, 1000), make(chan bool)
	b, err := hb.Listen(netip.AddrPortFrom(addrB, 2), func(*underlay.Batch) { begun <- true; <-block })
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64_000)
	for range 100 {
		send(t, a, string(buf), 1000, b.LocalAddr())
	}
	<-begun
	if s := hb.Interface(addrB).Downlink().Stats(); s.Overflowed == 0 || s.Overflowed > 100-60 {
		t.Errorf("%+v", s)
	}
	close(block)
}

// All knobs may be turned while traffic flows; for the race detector.
func TestChangeWhileRunning(t *testing.T) {
	n := New(1)
	defer n.Close()
	ha, hb := n.Host(addrA), n.Host(addrB)
	a, _ := listen(t, ha, addrA, 1)
	b, l := listen(t, hb, addrB, 2)
	var senders sync.WaitGroup
	for range 3 {
		senders.Go(func() {
			for range 300 {
				a.Send(make([]byte, 5000), 1000, b.LocalAddr())
			}
		})
	}
	for i := range 100 {
		n.SetPath(addrA, addrB, Params{Delay: time.Duration(i) * time.Microsecond, Loss: 0.1, Rate: 1e9})
		ha.Interface(addrA).SetUp(i%2 == 0)
		n.SetTap(func(p *Packet) bool { return p.Data[0] == 0 })
		n.Path(addrA, addrB).Stats()
	}
	n.SetTap(nil)
	n.SetPath(addrA, addrB, Params{})
	ha.Interface(addrA).SetUp(true)
	senders.Wait()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	before := len(l.all)
	send(t, a, "x", 1, b.LocalAddr())
	if len(l.all) != before {
		t.Error("received after Close")
	}
}
