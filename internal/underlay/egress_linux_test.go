package underlay

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// twoWays makes a host with two default routes to a peer, the better one by a.
func twoWays(t *testing.T) *peer {
	p := newPeer(t)
	cable(t, p, 0, "a", []string{"10.0.0.1/24", "fd00:a::1/64"}, []string{"10.0.0.2/24", "fd00:a::2/64"})
	cable(t, p, 1, "b", []string{"10.0.1.1/24", "fd00:b::1/64"}, []string{"10.0.1.2/24", "fd00:b::2/64"})
	must(t, netlink.AddrAdd(link(t, "lo"), prefix("10.8.8.8/32")))
	must(t, netlink.AddrAdd(link(t, "lo"), prefix("fd00:8::8/128")))
	lo, err := p.nl.LinkByName("lo")
	must(t, err)
	must(t, p.nl.AddrAdd(lo, prefix("10.9.9.9/32")))
	must(t, p.nl.AddrAdd(lo, prefix("fd00:9::9/128")))
	must(t, p.nl.RouteAdd(&netlink.Route{Dst: prefix("10.8.8.8/32").IPNet, Gw: prefix("10.0.0.1/24").IP}))
	must(t, p.nl.RouteAdd(&netlink.Route{Dst: prefix("fd00:8::8/128").IPNet, Gw: prefix("fd00:a::1/64").IP}))
	return p
}

// arrivals is a socket of the host and what it received.
type arrivals struct {
	Socket
	got chan string
}

func open(t *testing.T, u *UDP, addr string) *arrivals {
	t.Helper()
	a := &arrivals{got: make(chan string, 100)}
	s, err := u.Listen(netip.AddrPortFrom(netip.MustParseAddr(addr), 0), func(b *Batch) { a.got <- string(b.Data) })
	must(t, err)
	t.Cleanup(func() { s.Close() })
	a.Socket = s
	return a
}

func (a *arrivals) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-a.got:
		if got != want {
			t.Errorf("%v received %q, want %q", a.LocalAddr(), got, want)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("%v received nothing, want %q", a.LocalAddr(), want)
	}
}

// reaches sends from s until c hears of it, as neighbours must be found first.
func reaches(t *testing.T, s Socket, c *net.UDPConn, to netip.AddrPort) {
	t.Helper()
	buf := make([]byte, 2000)
	for range 200 {
		s.Send([]byte("12341234"), 4, to)
		c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, from, err := c.ReadFromUDPAddrPort(buf); err == nil && n == 4 {
			if netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) == s.LocalAddr() {
				return // what others sent may still be on its way
			}
		}
	}
	t.Fatalf("nothing from %v arrived at %v", s.LocalAddr(), to)
}

func TestEgress(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	p := twoWays(t)
	u := &UDP{}
	_, stop := watch(t, u)
	defer stop()
	for _, v := range []struct{ a, b, service, far, other string }{
		{"10.0.0.1", "10.0.1.1", "10.8.8.8", "10.9.9.9", "10.0.1.0/24"},
		{"fd00:a::1", "fd00:b::1", "fd00:8::8", "fd00:9::9", "fd00:b::/64"},
	} {
		far := netip.AddrPortFrom(netip.MustParseAddr(v.far), 9000)
		byA, byB := p.listen(t, far, "a"), p.listen(t, far, "b")
		a, b, service := open(t, u, v.a), open(t, u, v.b), open(t, u, v.service)

		reaches(t, a, byA, far)
		reaches(t, service, byA, far)
		reaches(t, b, byB, far)
		if b.Socket.(*socket).egress.conn == nil || a.Socket.(*socket).egress.conn != nil {
			t.Error("the wrong socket needed a second descriptor")
		}

		// What comes back finds the first descriptor, whichever way it comes.
		_, err := byB.WriteToUDPAddrPort([]byte("by b"), b.LocalAddr())
		must(t, err)
		b.expect(t, "by b")
		_, err = p.listen(t, netip.AddrPortFrom(far.Addr(), 0), "").WriteToUDPAddrPort([]byte("any way"), b.LocalAddr())
		must(t, err)
		b.expect(t, "any way")

		// So do words among addresses of this host.
		for _, from := range []*arrivals{a, b, service} {
			for _, to := range []*arrivals{a, b, service} {
				must(t, from.Send([]byte("local"), 0, to.LocalAddr()))
				to.expect(t, "local")
			}
		}

		// Nobody else can take the port.
		if c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(b.LocalAddr())); err == nil {
			c.Close()
			t.Error("the port is open to others")
		}
	}
}

func TestEgressHearsErrors(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	twoWays(t)
	u := &UDP{}
	b := open(t, u, "10.0.1.1")
	heard := make(chan Unreachable, 10)
	b.Socket.(ErrorReporter).OnUnreachable(func(r Unreachable) { heard <- r })
	closed := netip.MustParseAddrPort("10.9.9.9:9999")
	must(t, b.Send([]byte("anybody?"), 0, closed))
	select {
	case r := <-heard:
		if r.To != closed || !r.Port {
			t.Errorf("%+v", r)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing heard")
	}
	if b.Socket.(*socket).egress.conn == nil {
		t.Error("it did not need a second descriptor")
	}
}

// TestSocketOutlivesInterface takes away routes, carrier, address and interface
// in turn: the same sockets work again once they are back.
func TestSocketOutlivesInterface(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	p := twoWays(t)
	u := &UDP{}
	changed, stop := watch(t, u)
	defer stop()
	far4, far6 := netip.MustParseAddrPort("10.9.9.9:9000"), netip.MustParseAddrPort("[fd00:9::9]:9000")
	at4, at6 := p.listen(t, far4, ""), p.listen(t, far6, "")
	s4, s6 := open(t, u, "10.0.1.1"), open(t, u, "fd00:b::1")
	works := func(after string) {
		t.Helper()
		t.Log(after)
		<-changed
		for _, c := range []struct {
			s   *arrivals
			c   *net.UDPConn
			far netip.AddrPort
		}{{s4, at4, far4}, {s6, at6, far6}} {
			reaches(t, c.s, c.c, c.far)
			_, err := c.c.WriteToUDPAddrPort([]byte("back"), c.s.LocalAddr())
			must(t, err)
			c.s.expect(t, "back")
		}
	}
	attempt := func() {
		for range 20 {
			s4.Send([]byte("lost"), 0, far4)
			s6.Send([]byte("lost"), 0, far6)
		}
	}
	addrs := []string{"10.0.1.1/24", "fd00:b::1/64"}
	b := link(t, "b")
	routes := func() {
		for _, gw := range []string{"10.0.1.2/24", "fd00:b::2/64"} {
			must(t, netlink.RouteReplace(&netlink.Route{LinkIndex: link(t, "b").Attrs().Index, Gw: prefix(gw).IP, Priority: 101}))
		}
	}
	drain := func(c *net.UDPConn) {
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		for buf := make([]byte, 100); ; {
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
	}

	must(t, netlink.LinkSetDown(b))
	attempt()
	must(t, netlink.LinkSetUp(b))
	must(t, netlink.AddrReplace(b, prefix(addrs[1]))) // the kernel removes it
	waitFor(t, "a carrier", func() bool { return running(t, "b") })
	routes()
	drain(at4)
	drain(at6)
	works("link down and up")

	for _, a := range addrs {
		must(t, netlink.AddrDel(b, prefix(a)))
	}
	attempt()
	for _, a := range addrs {
		must(t, netlink.AddrAdd(b, prefix(a)))
	}
	routes()
	drain(at4)
	drain(at6)
	works("address gone and back")

	must(t, netlink.LinkDel(b))
	attempt()
	cable(t, p, 1, "b", addrs, []string{"10.0.1.2/24", "fd00:b::2/64"})
	drain(at4)
	drain(at6)
	works("interface made anew")

	if got := s4.MTU(); got != 1472 {
		t.Errorf("MTU %d", got)
	}
	must(t, netlink.LinkSetMTU(link(t, "b"), 1400))
	waitFor(t, "the new MTU", func() bool { return s4.MTU() == 1372 })
}
