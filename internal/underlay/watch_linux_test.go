package underlay

import (
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

func TestWatch(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	p := newPeer(t)
	cable(t, p, 0, "a", []string{"10.0.0.1/24"}, []string{"10.0.0.2/24"})
	u := &UDP{}
	changed, stop := watch(t, u)
	a := link(t, "a")
	there, err := p.nl.LinkByName("a")
	must(t, err)
	six := netip.MustParseAddr("fd00::1")
	listed := func(addr string) bool {
		all, err := u.LocalAddrs()
		must(t, err)
		return slices.Contains(all, netip.MustParseAddr(addr))
	}
	source := func(want string) bool {
		src, err := u.SourceFor(netip.MustParseAddr("10.7.7.7"))
		return want == "" && err != nil || err == nil && src.String() == want
	}
	tentative, err := netlink.ParseAddr("fd00::1/64")
	must(t, err)
	route := &netlink.Route{LinkIndex: a.Attrs().Index, Gw: prefix("10.0.0.2/24").IP, Priority: 100}
	for _, c := range []struct {
		name string
		do   func() error
		ok   func() bool
	}{
		{"address", func() error { return netlink.AddrAdd(a, prefix("10.0.0.3/24")) }, func() bool { return listed("10.0.0.3") }},
		{"address gone", func() error { return netlink.AddrDel(a, prefix("10.0.0.3/24")) }, func() bool { return !listed("10.0.0.3") }},
		{"route gone", func() error { return netlink.RouteDel(route) }, func() bool { return source("") }},
		{"route", func() error { return netlink.RouteAdd(route) }, func() bool { return source("10.0.0.1") }},
		{"tentative address", func() error { return netlink.AddrAdd(a, tentative) }, func() bool {
			if !listed("fd00::1") {
				return false
			}
			s, err := u.Listen(netip.AddrPortFrom(six, 0), func(*Batch) {}) // not before it may
			must(t, err)
			s.Close()
			return true
		}},
		{"carrier lost", func() error { return p.nl.LinkSetDown(there) }, func() bool { return !running(t, "a") && !listed("10.0.0.1") }},
		{"carrier", func() error { return p.nl.LinkSetUp(there) }, func() bool { return running(t, "a") && listed("10.0.0.1") }},
		{"interface gone", func() error { return netlink.LinkDel(a) }, func() bool { return !listed("10.0.0.1") && source("") }},
	} {
		source("") // remembered, and to be forgotten
		must(t, c.do())
		for end := time.After(20 * time.Second); ; {
			select {
			case <-changed:
			case <-end:
				t.Fatalf("%s: not noticed", c.name)
			}
			if c.ok() {
				break
			}
		}
	}
	before := runtime.NumGoroutine()
	stop()
	stop()
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() >= before; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, then %d", before, runtime.NumGoroutine())
		}
	}
}

func TestPollNoticesChanges(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	changed := make(chan struct{}, 1)
	stop := poll(func() { changed <- struct{}{} })
	defer stop()
	must(t, netlink.AddrAdd(link(t, "lo"), prefix("10.0.0.3/32")))
	<-changed
}

func TestInterfacesListsLoopback(t *testing.T) {
	all, err := new(UDP).Interfaces()
	must(t, err)
	i := slices.IndexFunc(all, func(i Interface) bool { return i.Loopback })
	if i < 0 || !all[i].Running || all[i].Index == 0 || all[i].MTU == 0 ||
		!slices.Contains(all[i].Addrs, netip.AddrFrom4([4]byte{127, 0, 0, 1})) {
		t.Errorf("%+v", all)
	}
}
