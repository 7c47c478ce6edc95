package serval

import (
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
)

// steady asks questions until stop, and returns the longest time that one took.
func steady(t *testing.T, c *Conn, f func()) time.Duration {
	t.Helper()
	quit, done := make(chan struct{}), make(chan time.Duration, 1)
	var failed error
	go func() {
		var worst time.Duration
		for {
			select {
			case <-quit:
				done <- worst
				return
			default:
			}
			began := time.Now()
			if failed = ask(c, "are you there?"); failed != nil {
				done <- worst
				return
			}
			worst = max(worst, time.Since(began))
		}
	}()
	f()
	close(quit)
	worst := <-done
	if failed != nil {
		t.Fatalf("%v%s", failed, describe(c))
	}
	return worst
}

// echoPair is a connection whose other end echoes.
func (w *two) echoPair() (a, b *Conn) {
	a, b = w.pairOn(w.client, w.server)
	go echoOn(b)
	must(w, ask(a, "hello"))
	return a, b
}

func (w *two) blackhole(from, to netip.Addr, on bool) {
	for _, l := range []*simnet.Link{w.net.Path(from, to), w.net.Path(to, from)} {
		l.Update(func(p *simnet.Params) { p.Blackhole = on })
	}
}

func TestSurvivesBlackhole(t *testing.T) {
	w := newTwo(t, Config{}, Config{})
	a, _ := w.echoPair()
	worst := steady(t, a, func() {
		f := a.Flows()[0]
		time.Sleep(200 * time.Millisecond)
		w.blackhole(f.Local.Addr(), f.Remote.Addr(), true)
		time.Sleep(2 * time.Second)
	})
	t.Logf("longest answer %v%s", worst, describe(a))
}

func TestSurvivesAddressSwap(t *testing.T) {
	for _, who := range []string{"client", "server"} {
		t.Run(who, func(t *testing.T) {
			w := newTwo(t, Config{MaxFlows: 1}, Config{MaxFlows: 1})
			h, old, other := w.clientHost, w.c1, w.c2
			if who == "server" {
				h, old, other = w.serverHost, w.s1, w.s2
			}
			h.Interface(other).SetUp(false)
			a, _ := w.echoPair()
			worst := steady(t, a, func() {
				time.Sleep(100 * time.Millisecond)
				i := h.Interface(old)
				h.Remove(old)
				time.Sleep(50 * time.Millisecond)
				i.Add(netip.MustParseAddr("10.1.0.77"))
				time.Sleep(time.Second)
			})
			t.Logf("longest answer %v, of which 50 ms without an address%s", worst, describe(a))
		})
	}
}

func TestSurvivesNATRebinding(t *testing.T) {
	l := newLab(t)
	nat := l.net.NAT(netip.MustParseAddr("192.0.2.1"), simnet.Restricted)
	server := l.node(9)
	inside := nat.Host(netip.MustParseAddr("192.168.0.2"))
	client := l.nodeOn(inside, Config{}, netip.MustParseAddr("192.168.0.2"))
	a, b := l.pairOn(client, server)
	go echoOn(b)
	was := b.RemoteAddr().(*Addr).Underlay
	worst := steady(t, a, func() {
		for range 5 {
			time.Sleep(200 * time.Millisecond)
			nat.Rebind()
		}
		time.Sleep(200 * time.Millisecond)
	})
	if now := b.RemoteAddr().(*Addr).Underlay; now == was {
		t.Errorf("the server still sends to %v", now)
	}
	t.Logf("longest answer %v", worst)
}

func TestSurvivesNATRebindingWhileReceiving(t *testing.T) {
	l := newLab(t)
	nat := l.net.NAT(netip.MustParseAddr("192.0.2.1"), simnet.Restricted)
	server := l.node(9)
	inside := nat.Host(netip.MustParseAddr("192.168.0.2"))
	inside.Interface(netip.MustParseAddr("192.168.0.2")).Downlink().Set(simnet.Params{Rate: 100e6, Delay: 5 * time.Millisecond})
	client := l.nodeOn(inside, Config{}, netip.MustParseAddr("192.168.0.2"))
	a, b := l.pairOn(client, server)
	bulk(t, b, a, size(16<<20), func() {
		for range 3 {
			time.Sleep(300 * time.Millisecond)
			nat.Rebind()
		}
	})
	t.Logf("longest stall %v", a.Stats().LongestStall)
}

func TestBothEndsMoveAtOnce(t *testing.T) {
	for _, by := range []string{"rendezvous", "resolver"} {
		t.Run(by, func(t *testing.T) {
			l := newLab(t)
			third := netip.AddrPortFrom(ip(3), 7000)
			var meet []netip.AddrPort
			if by == "rendezvous" {
				l.nodeWith(Config{ServeRendezvous: true}, ip(3))
				meet = []netip.AddrPort{third}
			}
			open := func(h *simnet.Host) *Node {
				n, err := NewNode(Config{Identity: l.join(l, "node"), Resolver: l.book, network: h, Rendezvous: meet})
				must(l, err)
				l.Cleanup(func() { n.Close() })
				return n
			}
			h1, h2 := l.net.Host(ip(1)), l.net.Host(ip(2))
			client, server := open(h1), open(h2)
			a, b := l.pairOn(client, server)
			go echoOn(b)
			worst := steady(t, a, func() {
				time.Sleep(100 * time.Millisecond)
				h1.Remove(ip(1))
				h2.Remove(ip(2))
				h1.Add(ip(101))
				h2.Add(ip(102))
				time.Sleep(1500 * time.Millisecond)
			})
			t.Logf("longest answer %v%s", worst, describe(a))
		})
	}
}

func TestOutageOfAllPaths(t *testing.T) {
	w := newTwo(t, Config{}, Config{})
	a, _ := w.echoPair()
	worst := steady(t, a, func() {
		time.Sleep(100 * time.Millisecond)
		w.clientHost.Interface(w.c1).SetUp(false)
		w.clientHost.Interface(w.c2).SetUp(false)
		time.Sleep(3 * time.Second)
		w.clientHost.Interface(w.c2).SetUp(true)
		time.Sleep(time.Second)
	})
	t.Logf("longest answer %v after 3 s without any path", worst)
}

func TestPolicies(t *testing.T) {
	for _, p := range []Policy{{Mode: Failover}, {Mode: Redundant}, {Mode: Pinned, Interface: "if1"}} {
		t.Run(p.String(), func(t *testing.T) {
			w := newTwo(t, Config{Policy: p}, Config{})
			a, b := w.pairOn(w.client, w.server)
			n := size(8 << 20)
			if p.Mode != Pinned {
				waitFlows(t, a, 2)
			}
			bulk(t, a, b, n, func() {})
			bulk(t, b, a, n, func() {})
			for _, c := range []*Conn{a, b} {
				var sent [2]uint64
				for _, f := range c.Flows() {
					k := 0
					if f.Local.Addr() == w.c2 || f.Remote.Addr() == w.c2 {
						k = 1
					}
					sent[k] += f.BytesSent
				}
				low, high := min(sent[0], sent[1]), max(sent[0], sent[1])
				switch {
				case p.Mode == Redundant && low < uint64(n)/2, p.Mode == Failover && low > uint64(n)/4, // a busy machine looks silent now and then
					p.Mode == Pinned && sent[0] > uint64(n)/10, low+high < uint64(n):
					t.Errorf("%v sent %v%s", p, sent, describe(c))
				}
			}
		})
	}
}

func TestCostsAndExclusion(t *testing.T) {
	for _, rule := range []InterfaceRule{{Name: "if0", Cost: 10}, {Name: "if0", Exclude: true}} {
		w := newTwo(t, Config{Interfaces: []InterfaceRule{rule}}, Config{})
		a, b := w.pairOn(w.client, w.server)
		bulk(t, a, b, size(8<<20), func() { time.Sleep(200 * time.Millisecond) })
		before := carried(b, w.c1)
		bulk(t, b, a, size(8<<20), func() {})
		if got := carried(b, w.c1) - before; got > uint64(size(8<<20))/10 {
			t.Errorf("%+v: %d bytes over the interface%s", rule, got, describe(b))
		}
		if rule.Exclude {
			continue
		}
		a, _ = w.echoPair()
		w.clientHost.Interface(w.c2).SetUp(false)
		must(t, ask(a, "the dear one is better than none"))
	}
}

func TestInterfaceRulesChangeLive(t *testing.T) {
	w := newTwo(t, Config{}, Config{})
	a, b := w.pairOn(w.client, w.server)
	bulk(t, a, b, 1<<20, func() { waitFlows(t, a, 2) })
	must(t, w.client.SetInterfaces([]InterfaceRule{{Name: "if0", Exclude: true}}))
	waitFlows(t, a, 1)
	if err := w.client.SetInterfaces([]InterfaceRule{{Name: "if0", Cost: -1}}); err == nil {
		t.Error("a cost of -1 is accepted")
	}
	must(t, w.client.SetInterfaces(nil))
	waitFlows(t, a, 2)
	bulk(t, b, a, 1<<20, func() {})
}

func TestSeveralFlowsOnOneInterface(t *testing.T) {
	l := newLab(t)
	h1, h2 := l.net.Host(ip(1)), l.net.Host(ip(2))
	l.delay(1, 2, 2*time.Millisecond)
	open := func(h *simnet.Host, cfg Config) *Node {
		cfg.Identity, cfg.Resolver, cfg.network = l.join(l, "node"), l.book, h
		n, err := NewNode(cfg)
		must(l, err)
		l.Cleanup(func() { n.Close() })
		return n
	}
	client, server := open(h1, Config{FlowsPerInterface: 3}), open(h2, Config{})
	a, b := l.pairOn(client, server)
	bulk(t, a, b, 8<<20, func() { waitFlows(t, a, 3) })
	ports := map[uint16]bool{}
	for _, f := range a.Flows() {
		ports[f.Local.Port()] = true
	}
	if len(ports) != 3 {
		t.Errorf("three flows from %d ports%s", len(ports), describe(a))
	}
}

// carried is what a connection sent to an address.
func carried(c *Conn, to netip.Addr) (n uint64) {
	for _, f := range c.Flows() {
		if f.Remote.Addr() == to {
			n += f.BytesSent
		}
	}
	return n
}

func TestIdleConnectionsMoveTogether(t *testing.T) {
	for _, apart := range []bool{false, true} {
		t.Run(map[bool]string{false: "joined", true: "apart"}[apart], func(t *testing.T) { idleMove(t, apart) })
	}
}

func idleMove(t *testing.T, apart bool) {
	w := newTwo(t, Config{}, Config{})
	if apart {
		w.apart()
	}
	ln, err := w.server.Listen("svc:many")
	must(t, err)
	go acceptEcho(ln)
	conns := make([]*Conn, size(400))
	for i := range conns {
		conns[i] = w.dial(w.client, "svc:many")
		must(t, ask(conns[i], "hello"))
	}
	w.clientHost.Interface(conns[0].Flows()[0].Local.Addr()).SetUp(false)
	began := time.Now()
	errs := make(chan error)
	for _, c := range conns {
		go func() { errs <- ask(c, "still there?") }()
	}
	for range conns {
		if err := <-errs; err != nil {
			t.Errorf("%v\nclient %+v\nserver %+v", err, w.client.Stats(), w.server.Stats())
		}
	}
	t.Logf("%d connections answered after %v", len(conns), time.Since(began))
}
