//go:build linux

package lab

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

var twoPaths = []Path{{RTT: 20 * time.Millisecond, Rate: 100e6, Queue: 50 * time.Millisecond}, {RTT: 40 * time.Millisecond}}

func TestPathsAreApart(t *testing.T) {
	for name, f := range map[string]Family{"v4": IPv4, "v6": IPv6, "dual": Dual} {
		t.Run(name, func(t *testing.T) {
			p := network(t, Topology{Paths: twoPaths, Family: f, ServerLo: true, Third: true})
			for n, w := range p.Ways {
				for k, addr := range w.Server.Addrs() {
					echoes(t, p.Server, addr)
					client := socket(t, p.Client, w.Client.Addrs()[k], 0)
					from, took := trip(client, addr)
					if from.Addr() != w.Client.Addrs()[k] || !about(took, w.Path().RTT) {
						t.Errorf("path %s to %v: came from %v in %v", w.Name, addr, from, took)
					}
					reaches(t, "the other path's address", client, p.Ways[1-n].Server.Addrs()[k], false)
				}
			}
			for k, addr := range p.ServerAddrs {
				echoes(t, p.Server, addr)
				echoes(t, p.Third, p.ThirdAddrs[k])
				for _, w := range p.Ways {
					client := socket(t, p.Client, w.Client.Addrs()[k], 0)
					if from, took := trip(client, addr); from.Addr() != w.Client.Addrs()[k] || !about(took, w.Path().RTT) {
						t.Errorf("path %s to the server's own address: came from %v in %v", w.Name, from, took)
					}
					if from, _ := ask(client, p.ThirdAddrs[k], patient); from.Addr() != w.Client.Addrs()[k] {
						t.Errorf("path %s to the third host: came from %v", w.Name, from)
					}
				}
			}
		})
	}
}

func TestInterfaceOperations(t *testing.T) {
	for name, f := range map[string]Family{"v4": IPv4, "v6": IPv6} {
		t.Run(name, func(t *testing.T) {
			p := network(t, Topology{Paths: make([]Path, 2), Family: f})
			a, b := p.Ways[0], p.Ways[1]
			for _, w := range p.Ways {
				echoes(t, p.Server, w.Server.Addr())
			}
			// The socket is bound to no address, so that it survives the changes;
			// path b has to stay untouched throughout.
			any := socket(t, p.Client, netip.Addr{}, 0)
			other := socket(t, p.Client, b.Client.Addr(), 0)
			check := func(what string, want bool) {
				t.Helper()
				reaches(t, what, any, a.Server.Addr(), want)
				reaches(t, what+", path b", other, b.Server.Addr(), true)
			}
			check("before", true)
			for _, host := range []*Iface{a.Client, a.Server} {
				where := " at the " + host.host.Name
				for _, op := range []struct {
					name      string
					off, off2 func() error
				}{
					{"link", host.LinkDown, host.LinkUp},
					{"carrier", func() error { return host.Carrier(false) }, func() error { return host.Carrier(true) }},
					{"address", host.AddrRemove, host.AddrAdd},
				} {
					start := time.Now()
					must(t, op.off())
					t.Logf("%s%s off in %v", op.name, where, time.Since(start))
					check(op.name+" off"+where, false)
					start = time.Now()
					must(t, op.off2())
					t.Logf("%s%s on in %v", op.name, where, time.Since(start))
					check(op.name+" on"+where, true)
				}
			}
		})
	}
}

func TestCarrierIsToldAtOnce(t *testing.T) {
	p := network(t, Topology{Paths: make([]Path, 3), Joined: true})
	for _, w := range p.Ways {
		for _, i := range []*Iface{w.Client, w.Server, w.Third} {
			if i.link.Attrs().Index == i.far.link.Attrs().Index {
				t.Errorf("%s of %s and its far end have one number", i.name, i.host.Name)
			}
		}
	}
}

func TestSourceRulesKeepPacketsHome(t *testing.T) {
	p := network(t, Topology{Paths: make([]Path, 2), ServerLo: true})
	echoes(t, p.Server, p.ServerAddrs[0])
	c := socket(t, p.Client, p.Ways[0].Client.Addr(), 0)
	reaches(t, "before", c, p.ServerAddrs[0], true)
	must(t, p.Ways[0].Client.LinkDown())
	if _, err := c.WriteToUDPAddrPort([]byte("?"), netip.AddrPortFrom(p.ServerAddrs[0], echoPort)); err == nil {
		t.Error("a packet left by another interface than its address's")
	}
}

func TestMetricsFallBack(t *testing.T) {
	p := network(t, Topology{Paths: make([]Path, 2), Metrics: true, Server: []int{0}})
	echoes(t, p.Server, p.Ways[0].Server.Addr())
	c := socket(t, p.Client, netip.Addr{}, 0)
	for _, w := range p.Ways {
		if from, _ := ask(c, p.Ways[0].Server.Addr(), patient); from.Addr() != w.Client.Addr() {
			t.Errorf("came from %v, want path %s", from, w.Name)
		}
		must(t, w.Client.LinkDown())
	}
}

func TestAddrSwap(t *testing.T) {
	for name, f := range map[string]Family{"v4": IPv4, "v6": IPv6} {
		t.Run(name, func(t *testing.T) {
			p := network(t, Topology{Paths: make([]Path, 2), Family: f, ServerLo: true})
			a := p.Ways[0]
			echoes(t, p.Server, p.ServerAddrs[0])
			seen := []netip.Addr{a.Client.Addr()}
			for _, newNetwork := range []bool{false, true, true, false} {
				start := time.Now()
				must(t, a.Client.AddrSwap(newNetwork))
				t.Logf("client swapped in %v", time.Since(start))
				now := a.Client.Addr()
				if slices.Contains(seen, now) {
					t.Errorf("address %v again", now)
				}
				seen = append(seen, now)
				if from, _ := ask(socket(t, p.Client, now, 0), p.ServerAddrs[0], patient); from.Addr() != now {
					t.Errorf("from %v to the server: came from %v", now, from)
				}
				must(t, a.Server.AddrSwap(newNetwork))
				if from, _ := ask(socket(t, p.Client, now, 0), p.ServerAddrs[0], patient); from.Addr() != now {
					t.Errorf("to the server's lasting address after its other one went: came from %v", from)
				}
				echoes(t, p.Server, a.Server.Addr())
				reaches(t, "new server address", socket(t, p.Client, netip.Addr{}, 0), a.Server.Addr(), true)
			}
			if err := p.Client.Do(func() error {
				_, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(seen[0], 0)))
				return err
			}); err == nil {
				t.Error("the first address is still there")
			}
		})
	}
}

func TestBlackholeAndFirewall(t *testing.T) {
	for name, f := range map[string]Family{"v4": IPv4, "v6": IPv6} {
		t.Run(name, func(t *testing.T) {
			p := network(t, Topology{Paths: make([]Path, 2), Family: f})
			a := p.Ways[0]
			server := socket(t, p.Server, a.Server.Addr(), 0)
			client := socket(t, p.Client, a.Client.Addr(), 0)
			check := func(what string, up, down bool) {
				t.Helper()
				if u := carried(client, server, up); u != up {
					t.Errorf("%s: up %v", what, u)
				}
				if d := carried(server, client, down); d != down {
					t.Errorf("%s: down %v", what, d)
				}
			}
			check("before", true, true)
			for _, c := range []struct {
				name     string
				dir      Direction
				up, down bool
			}{{"down", ToClient, true, false}, {"up", ToServer, false, true}, {"both ways", BothWays, false, false}} {
				must(t, a.Blackhole(c.dir))
				check("blackhole "+c.name, c.up, c.down)
				must(t, a.Unblackhole(c.dir))
				check("after blackhole "+c.name, true, true)
			}
			must(t, a.Firewall(true))
			check("firewall", false, false)
			var l net.Listener
			must(t, p.Server.Do(func() (err error) {
				l, err = net.Listen("tcp", netip.AddrPortFrom(a.Server.Addr(), 80).String())
				return err
			}))
			defer l.Close()
			must(t, p.Client.Do(func() error {
				c, err := net.DialTimeout("tcp", l.Addr().String(), time.Second)
				if err == nil {
					c.Close()
				}
				return err
			}))
			must(t, a.Firewall(false))
			check("after the firewall", true, true)
		})
	}
}

func TestNAT(t *testing.T) {
	for name, f := range map[string]Family{"v4": IPv4, "v6": IPv6} {
		t.Run(name, func(t *testing.T) {
			p := network(t, Topology{Paths: make([]Path, 2), Family: f, Third: true})
			a := p.Ways[0]
			server, third := a.Server.Addr(), p.ThirdAddrs[0]
			echoes(t, p.Server, server)
			echoes(t, p.Third, third)
			c := socket(t, p.Client, a.Client.Addr(), 5000)
			for _, kind := range []NAT{PortKeeping, SymmetricNAT} {
				must(t, a.SetNAT(kind))
				one, _ := ask(c, server, patient)
				two, _ := ask(c, third, patient)
				if one.Addr() == a.Client.Addr() || !one.IsValid() || !two.IsValid() {
					t.Fatalf("kind %v: the server saw %v, the third host %v", kind, one, two)
				}
				if kept := one.Port() == 5000 && two.Port() == 5000; kept != (kind == PortKeeping) {
					t.Errorf("kind %v: ports %d and %d", kind, one.Port(), two.Port())
				}
				if carried(socket(t, p.Server, server, 0), c, false) {
					t.Errorf("kind %v: the server reaches the inside address", kind)
				}
				if again, _ := ask(c, server, patient); again != one {
					t.Errorf("kind %v: %v, then %v", kind, one, again)
				}
				for range 3 {
					start := time.Now()
					must(t, a.Rebind())
					t.Logf("rebind in %v", time.Since(start))
					now, _ := ask(c, server, patient)
					if !now.IsValid() || now.Port() == one.Port() {
						t.Errorf("kind %v: %v after a rebinding from %v", kind, now, one)
					}
					one = now
				}
			}
			must(t, a.SetNAT(NoNAT))
			if from, _ := ask(c, server, patient); from.Addr() != a.Client.Addr() {
				t.Errorf("without NAT: from %v", from)
			}
		})
	}
}

func TestSetPathLive(t *testing.T) {
	p := network(t, Topology{Paths: twoPaths[:1], Family: Dual})
	a := p.Ways[0]
	for k, addr := range a.Server.Addrs() {
		echoes(t, p.Server, addr)
		c := socket(t, p.Client, a.Client.Addrs()[k], 0)
		for _, rtt := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 0} {
			path := a.Path()
			path.RTT = rtt
			must(t, a.SetPath(path))
			ask(c, addr, patient) // what was on its way
			if _, took := trip(c, addr); !about(took, rtt) {
				t.Errorf("round trip %v, want %v", took, rtt)
			}
		}
	}
}

// count sends n numbered datagrams from the client to the server and returns how
// many arrived, how many of them twice and how many after a later one.
func count(t *testing.T, w *Way, n int) (once, twice, late int) {
	server := socket(t, w.net.Server, w.Server.Addr(), 0)
	client := socket(t, w.net.Client, w.Client.Addr(), 0)
	go func() {
		for i := range n {
			client.WriteToUDPAddrPort([]byte{byte(i >> 8), byte(i)}, server.LocalAddr().(*net.UDPAddr).AddrPort())
			time.Sleep(500 * time.Microsecond)
		}
		server.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	}()
	seen, newest := map[int]bool{}, -1
	for buf := make([]byte, 2); ; {
		if _, _, err := server.ReadFromUDPAddrPort(buf); err != nil {
			return once, twice, late
		}
		k := int(buf[0])<<8 | int(buf[1])
		switch {
		case seen[k]:
			twice++
			continue
		case k < newest:
			late++
		}
		once++
		seen[k], newest = true, max(newest, k)
	}
}

func TestPathImpairments(t *testing.T) {
	for name, f := range map[string]Family{"v4": IPv4, "v6": IPv6} {
		t.Run(name, func(t *testing.T) {
			p := network(t, Topology{Paths: make([]Path, 1), Family: f})
			a := p.Ways[0]
			const n = 1000
			around := func(what string, got, want int) {
				t.Helper()
				if got < want*6/10 || got > want*15/10 {
					t.Errorf("%s: %d of %d packets, want about %d", what, got, n, want)
				}
			}
			must(t, a.SetPath(Path{LossUp: 0.1, Duplicate: 0.1}))
			once, twice, _ := count(t, a, n)
			around("lost", n-once, n/10)
			around("duplicated", twice, n*9/100)
			must(t, a.SetPath(Path{RTT: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Reorder: 0.01}))
			once, twice, late := count(t, a, n)
			if once != n || twice != 0 {
				t.Errorf("with reordering alone: %d arrived, %d twice", once, twice)
			}
			if late < 20 {
				t.Errorf("%d packets were overtaken", late)
			}
		})
	}
}

func TestRoaming(t *testing.T) {
	p := network(t, Topology{Paths: []Path{{RTT: 10 * time.Millisecond}, {RTT: 20 * time.Millisecond}, {RTT: 30 * time.Millisecond}}, Joined: true, Client: []int{0}, Server: []int{0}})
	wlan, eth := p.Ways[0].Client, p.Ways[0].Server
	for _, server := range p.Ways {
		start := time.Now()
		must(t, eth.Plug(server))
		t.Logf("the server moved in %v", time.Since(start))
		echoes(t, p.Server, eth.Addr())
		for _, w := range p.Ways {
			must(t, wlan.Plug(w))
			from, took := trip(socket(t, p.Client, wlan.Addr(), 0), eth.Addr())
			if from.Addr() != wlan.Addr() || !about(took, w.Path().RTT) {
				t.Errorf("from %v at path %s to %v: came from %v in %v", wlan.Addr(), w.Name, eth.Addr(), from, took)
			}
		}
	}
}

func TestFlap(t *testing.T) {
	p := network(t, Topology{Paths: make([]Path, 2)})
	a := p.Ways[0]
	echoes(t, p.Server, a.Server.Addr())
	c := socket(t, p.Client, netip.Addr{}, 0)
	stop := p.Flap(a.Client, 100*time.Millisecond)
	answers := 0
	for range 40 {
		c.WriteToUDPAddrPort([]byte("?"), netip.AddrPortFrom(a.Server.Addr(), echoPort))
		c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := c.Read(make([]byte, 100)); err == nil {
			answers++
			time.Sleep(10 * time.Millisecond)
		}
	}
	if answers == 0 || answers == 40 {
		t.Errorf("%d of 40 answered while the link flapped", answers)
	}
	must(t, stop())
	reaches(t, "after flapping", c, a.Server.Addr(), true)
	p.Flap(a.Client, 20*time.Millisecond) // Close ends it
}
