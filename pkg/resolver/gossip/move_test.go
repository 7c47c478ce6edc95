package gossip

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/resolver"
)

// move takes node i's host off the network and puts the node on another.
func (c *cluster) move(t *testing.T, i int) {
	t.Helper()
	c.hosts[i].set(false)
	h := c.hosts[i].net.host()
	c.hosts[i] = h
	c.nodes[i].cfg.open = h.open
	if err := c.nodes[i].move(h.addr.Addr()); err != nil {
		t.Fatal(err)
	}
	if got := c.nodes[i].Addr(); got != h.addr {
		t.Errorf("moved to %v, not %v", got, h.addr)
	}
}

func update(t *testing.T, l resolver.Lease, addr netip.AddrPort) {
	t.Helper()
	if err := l.(resolver.Updater).Update(ctx, resolver.At(addr)); err != nil {
		t.Fatal(err)
	}
}

// TestMoves: two nodes move at once, while the seed that both know is down, and
// find each other's new address through those who stayed.
func TestMoves(t *testing.T) {
	c := newCluster(t, 5)
	var leases []resolver.Lease
	for _, g := range c.nodes {
		l, err := resolver.RegisterNode(ctx, g, g.id, []netip.AddrPort{g.Addr()})
		if err != nil {
			t.Fatal(err)
		}
		leases = append(leases, l)
	}
	at := func(g *Gossip, i int) netip.AddrPort {
		addrs, err := resolver.LookupNode(ctx, g, c.nodes[i].id.Node())
		if err != nil || len(addrs) != 1 {
			return netip.AddrPort{}
		}
		return addrs[0]
	}
	knownTo := func(viewers []int) {
		t.Helper()
		begin := time.Now()
		for _, v := range viewers {
			news, stop := c.nodes[v].Watch()
			for _, i := range viewers {
				waitFor(t, "addresses", news, func() bool { return at(c.nodes[v], i) == c.nodes[i].Addr() })
			}
			stop()
		}
		t.Logf("known after %v", time.Since(begin))
	}
	knownTo([]int{0, 1, 2, 3, 4})
	for round := range 3 {
		c.hosts[0].set(round == 2) // it is back in the end
		c.move(t, 1)
		c.move(t, 2)
		update(t, leases[1], c.nodes[1].Addr())
		update(t, leases[2], c.nodes[2].Addr())
		knownTo([]int{1, 2, 3, 4})
	}
	knownTo([]int{0, 1, 2, 3, 4})
	for _, g := range c.nodes {
		waitFor(t, "members", nil, func() bool {
			all := g.Members()
			return len(all) == 5 && slices.ContainsFunc(all, func(m Member) bool { return m.Addr == c.nodes[1].Addr() })
		})
	}
	if all, _ := c.nodes[3].Services(ctx); len(all) != 0 {
		t.Errorf("nodes are listed: %v", all)
	}
}

// TestMovedNodeIsNotSuspect: only its old membership dies.
func TestMovedNodeIsNotSuspect(t *testing.T) {
	c := newCluster(t, 3)
	c.rank(t, 1, 2)
	c.move(t, 2)
	waitFor(t, "the old membership's end", nil, func() bool { return c.nodes[0].member().size() == 4 })
	waitFor(t, "the old membership's end", nil, func() bool { return c.nodes[0].member().size() == 3 })
	if found, _ := c.nodes[0].Resolve(ctx, web); len(found) != 2 || found[0].Node != c.nodes[2].id.Node() {
		t.Errorf("found %v", found)
	}
}

func TestUpdateAfterClose(t *testing.T) {
	g := newCluster(t, 1).nodes[0]
	l := register(t, g, web, 0)
	if err := l.(resolver.Updater).Update(ctx, resolver.At()); err == nil {
		t.Error("updated to no address")
	}
	l.Close(ctx)
	if err := l.(resolver.Updater).Update(ctx, resolver.At(g.Addr())); err == nil {
		t.Error("updated after it was withdrawn")
	}
	if found, err := g.Resolve(ctx, web); err == nil {
		t.Errorf("found %v", found)
	}
}

func TestWanted(t *testing.T) {
	lo := netip.MustParseAddr("127.0.0.1")
	gone := netip.MustParseAddr("192.0.2.77")
	up := []underlay.Interface{{Name: "lo", Addrs: []netip.Addr{lo}, Running: true, Loopback: true}}
	down := []underlay.Interface{{Name: "lo", Addrs: []netip.Addr{lo}, Loopback: true}}
	for _, c := range []struct {
		name  string
		bind  string
		seeds []string
		all   []underlay.Interface
		now   netip.Addr
		want  netip.Addr
	}{
		{"asked for", "127.0.0.1:0", nil, up, gone, lo},
		{"asked for, but down", "127.0.0.1:0", nil, down, lo, lo}, // a cluster of one anyway
		{"of one", "", nil, up, lo, lo},
		{"seed by the same way", "", []string{"127.0.0.1:1"}, up, lo, lo},
		{"address gone", "", []string{"127.0.0.1:1"}, up, gone, lo},
		{"no way", "", []string{"127.0.0.1:1"}, down, lo, netip.Addr{}},
	} {
		cfg := Config{Seeds: c.seeds}
		if c.bind != "" {
			cfg.Bind = netip.MustParseAddrPort(c.bind)
		}
		if got := cfg.wanted(slices.Clone(c.seeds), c.all, c.now); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
