package serval

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// instance makes a node on a host an instance that echoes.
func (l *lab) instance(host int, service string, lc ListenConfig) (*Node, *Listener) {
	l.Helper()
	lc.Node = l.node(host)
	ln, err := lc.Listen(l.Context(), service)
	must(l, err)
	go acceptEcho(ln)
	return lc.Node, ln
}

// reached dials, and returns who answered.
func reached(t testing.TB, dial func() (*Conn, error)) identity.NodeID {
	t.Helper()
	c, err := dial()
	must(t, err)
	defer c.Close()
	return c.PeerIdentity().Node
}

// tally counts who answers n dials.
func tally(t testing.TB, n int, dial func() (*Conn, error)) map[identity.NodeID]int {
	t.Helper()
	got := make(map[identity.NodeID]int)
	for range n {
		got[reached(t, dial)]++
	}
	return got
}

// by returns a dial of svc:web with the dialer's options.
func by(t testing.TB, d *Dialer) func() (*Conn, error) {
	return func() (*Conn, error) { return d.DialConn(t.Context(), "", "svc:web") }
}

// tries scales a number of dials to what the race detector leaves time for.
func tries(n int) int {
	if raceEnabled {
		return n / 4
	}
	return n
}

// TestDialKey: a key's dials reach the instance that owns it, and follow when
// ownership moves.
func TestDialKey(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.flat = true
	client := l.node(1)
	low, lowListener := l.instance(2, "svc:cache", ListenConfig{Keys: keyPrefixes(t, "0/1")})
	high, highListener := l.instance(3, "svc:cache", ListenConfig{Keys: keyPrefixes(t, "8/1")})
	owner := func(key string) identity.NodeID {
		return reached(t, func() (*Conn, error) { return client.DialKey(t.Context(), "svc:cache", key) })
	}
	isHigh := func(key string) bool { return resolver.HashKey(key)>>63 == 1 }
	keys := 0
	for i := range 12 {
		key := fmt.Sprint("user:", i)
		want := low
		if isHigh(key) {
			want, keys = high, keys+1
		}
		if got := owner(key); got != want.ID() {
			t.Errorf("%s is with %v", key, got)
		}
	}
	if keys == 0 || keys == 12 {
		t.Fatalf("%d of 12 keys are high", keys)
	}
	// The new owner knows of it before the old one.
	must(t, lowListener.Update(t.Context(), func(lc *ListenConfig) { lc.Keys = keyPrefixes(t, "0/1", "8/2") }))
	must(t, highListener.Update(t.Context(), func(lc *ListenConfig) { lc.Keys = keyPrefixes(t, "c/2") }))
	for i := range 12 {
		key := fmt.Sprint("user:", i)
		want := low
		if resolver.HashKey(key)>>62 == 3 {
			want = high
		}
		if got := owner(key); got != want.ID() {
			t.Errorf("%s is with %v after the change", key, got)
		}
	}
	must(t, lowListener.Close())
	for i := range 12 {
		key := fmt.Sprint("user:", i)
		if resolver.HashKey(key)>>62 != 3 {
			_, err := client.DialKey(t.Context(), "svc:cache", key)
			sentence(t, err, ErrNoService, "svc:cache", "owns the key")
			break
		}
	}
}

// TestStaleOwner: an owner that is not one any more, though the resolver says so,
// refuses, and the dial goes to one that is, whom it may learn of meanwhile.
func TestStaleOwner(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.flat = true
	client := l.nodeWith(Config{TryNext: time.Hour}, ip(1))
	old, _ := l.instance(2, "svc:cache", ListenConfig{Keys: keyPrefixes(t, "0/1")})
	now, _ := l.instance(3, "svc:cache", ListenConfig{Keys: keyPrefixes(t, "8/2")})
	last, _ := l.instance(4, "svc:cache", ListenConfig{})
	key := ""
	for i := 0; resolver.HashKey(key)>>61 != 0b100; i++ {
		key = fmt.Sprint("key ", i)
	}
	l.edit(old.ID(), func(in *resolver.Instance) { in.Keys = keyPrefixes(t, "8/3") })
	dial := func() (*Conn, error) { return client.DialKey(t.Context(), "svc:cache", key) }
	for range 3 {
		if got := reached(t, dial); got != now.ID() {
			t.Errorf("%v answered", got)
		}
	}
	l.edit(now.ID(), func(in *resolver.Instance) { in.Keys = keyPrefixes(t, "0/1") })
	if got := reached(t, dial); got != last.ID() {
		t.Errorf("%v answered, not the one for all keys", got)
	}
}

// edit changes what the resolver says of an instance, which does not know.
func (b *book) edit(node identity.NodeID, change func(*resolver.Instance)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.list {
		if b.list[i].Node == node {
			change(&b.list[i])
		}
	}
}

// TestDialInstance: the one instance wanted, and no other.
func TestDialInstance(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.flat = true
	client := l.nodeWith(Config{TryNext: 50 * time.Millisecond, DialTimeout: 500 * time.Millisecond}, ip(1))
	one, _ := l.instance(2, "svc:web", ListenConfig{})
	two, ln := l.instance(3, "svc:web", ListenConfig{})
	for range 5 {
		for _, n := range []*Node{one, two} {
			if got := reached(t, func() (*Conn, error) { return client.DialInstance(t.Context(), "svc:web", n.ID()) }); got != n.ID() {
				t.Fatalf("%v answered for %v", got, n.ID())
			}
			if got := reached(t, by(t, &Dialer{Node: client, Instance: n.ID()})); got != n.ID() {
				t.Fatalf("%v answered for %v", got, n.ID())
			}
		}
	}
	must(t, ln.Close())
	_, err := client.DialInstance(t.Context(), "svc:web", two.ID())
	sentence(t, err, ErrNoService, two.ID().Short(), "svc:web")

	// Where the resolver does not know the node, its certificate tells.
	l.edit(one.ID(), func(in *resolver.Instance) { in.Node = identity.NodeID{} })
	if got := reached(t, func() (*Conn, error) { return client.DialInstance(t.Context(), "svc:web", one.ID()) }); got != one.ID() {
		t.Fatalf("%v answered", got)
	}
	_, err = client.DialInstance(t.Context(), "svc:web", two.ID())
	sentence(t, err, ErrNoService, two.ID().Short(), "another instance")
}

// TestSticky: a sticky Dialer gets the same instance for as long as it answers,
// and another Dialer may get another one.
func TestSticky(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{true, false} {
		t.Run(fmt.Sprint("NodesKnown=", named), func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.flat = true
			client := l.nodeWith(Config{TryNext: 50 * time.Millisecond}, ip(1))
			nodes := make(map[identity.NodeID]*Node)
			for host := 2; host < 6; host++ {
				n, _ := l.instance(host, "svc:web", ListenConfig{})
				nodes[n.ID()] = n
				if !named {
					l.edit(n.ID(), func(in *resolver.Instance) { in.Node = identity.NodeID{} })
				}
			}
			d := &Dialer{Node: client, Sticky: true}
			first := reached(t, by(t, d))
			if got := tally(t, 10, by(t, d)); got[first] != 10 {
				t.Errorf("%v answered first, then %v", first, got)
			}
			others := make(map[identity.NodeID]bool)
			for range 40 {
				others[reached(t, by(t, &Dialer{Node: client, Sticky: true}))] = true
			}
			if len(others) < 2 {
				t.Error("all Dialers have the same instance")
			}
			// It falls silent: the others are there, and one of them is the next.
			at := nodes[first].at()
			l.net.SetTap(func(p *simnet.Packet) bool { return p.To != at })
			second := reached(t, by(t, d))
			if second == first {
				t.Fatal("a silent instance answered")
			}
			if got := tally(t, 10, by(t, d)); got[second] != 10 {
				t.Errorf("%v answered next, then %v", second, got)
			}
		})
	}
}

// TestPrefer: the instance that a Dialer prefers answers it, and another does once
// that one is gone.
func TestPrefer(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.flat = true
	client := l.nodeWith(Config{TryNext: 50 * time.Millisecond}, ip(1))
	listeners := make(map[identity.NodeID]*Listener)
	for host := 2; host < 6; host++ {
		n, ln := l.instance(host, "svc:web", ListenConfig{})
		listeners[n.ID()] = ln
	}
	for id, ln := range listeners {
		a := *ln.Addr().(*Addr)
		if got := tally(t, 5, by(t, &Dialer{Node: client, Prefer: &a})); got[id] != 5 {
			t.Errorf("%v was preferred, and %v answered", id, got)
		}
		must(t, ln.Close())
		if len(listeners) > 1 && reached(t, by(t, &Dialer{Node: client, Prefer: &a})) == id {
			t.Error("a closed instance answered")
		}
		delete(listeners, id)
	}
}

// TestBalance: each way to choose, wished by the instances or by the dialler.
func TestBalance(t *testing.T) {
	t.Parallel()
	n := tries(120)
	t.Run("Weighted", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		l.flat = true
		client := l.node(1)
		heavy, _ := l.instance(2, "svc:web", ListenConfig{Weight: 3})
		l.instance(3, "svc:web", ListenConfig{Weight: 1})
		if got := tally(t, n, by(t, &Dialer{Node: client})); got[heavy.ID()] < n*45/100 || got[heavy.ID()] == n {
			t.Errorf("weight 3 of 4 got %d of %d dials", got[heavy.ID()], n)
		}
	})
	t.Run("LeastLoad", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		l.flat = true
		client := l.node(1)
		busy, _ := l.instance(2, "svc:web", ListenConfig{Balance: resolver.BalanceLeastLoad})
		l.instance(3, "svc:web", ListenConfig{Balance: resolver.BalanceLeastLoad})
		l.edit(busy.ID(), func(in *resolver.Instance) { in.Load = .5 })
		if got := tally(t, n/4, by(t, &Dialer{Node: client})); got[busy.ID()] != 0 {
			t.Errorf("the more loaded of two got %d of %d dials", got[busy.ID()], n/4)
		}
		if got := tally(t, n/4, by(t, &Dialer{Node: client, Balance: resolver.BalanceWeighted})); got[busy.ID()] == 0 {
			t.Error("the dialler's choice does not count")
		}
	})
	t.Run("Nearest", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		l.flat = true
		client := l.node(1)
		for host := 2; host < 5; host++ {
			l.delay(1, host, time.Duration(host-2)*30*time.Millisecond)
			l.delay(host, 1, time.Duration(host-2)*30*time.Millisecond)
		}
		near, _ := l.instance(2, "svc:web", ListenConfig{})
		l.instance(3, "svc:web", ListenConfig{})
		l.instance(4, "svc:web", ListenConfig{})
		d := &Dialer{Node: client, Balance: resolver.BalanceNearest}
		eventually(t, "all are measured", func() bool {
			reached(t, by(t, d))
			return len(slices.Collect(maps.Keys(client.routes.m))) == 3
		})
		if got := tally(t, n/4, by(t, d)); got[near.ID()] != n/4 {
			t.Errorf("the nearest of three got %d of %d dials", got[near.ID()], n/4)
		}
	})
	t.Run("Hash", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		l.flat = true
		got := make(map[identity.NodeID]int)
		for host := range 4 {
			l.instance(2+host, "svc:web", ListenConfig{Balance: resolver.BalanceHash})
		}
		for host := range 8 { // clients
			mine := tally(t, 4, by(t, &Dialer{Node: l.node(20 + host)}))
			if len(mine) != 1 {
				t.Errorf("a client was with %v", mine)
			}
			for id := range mine {
				got[id]++
			}
		}
		if len(got) < 2 {
			t.Error("all clients are with the same instance")
		}
	})
}

// TestOverflow: half of the best priority is gone without a word, so a part of
// the dials goes to the next one; when it is back, no more.
func TestOverflow(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.flat = true
	client := l.node(1)
	for host := 2; host < 6; host++ {
		l.instance(host, "svc:web", ListenConfig{Priority: 1})
	}
	backup, _ := l.instance(6, "svc:web", ListenConfig{})
	n := tries(120)
	if got := tally(t, n/2, by(t, &Dialer{Node: client})); got[backup.ID()] != 0 {
		t.Errorf("the backup got %d of %d dials", got[backup.ID()], n/2)
	}
	for host := 2; host < 5; host++ {
		client.health.silent(netip.AddrPortFrom(ip(host), 7000))
	}
	if got := tally(t, n, by(t, &Dialer{Node: client})); math.Abs(float64(got[backup.ID()])-0.65*float64(n)) > 5*math.Sqrt(0.65*0.35*float64(n)) {
		t.Errorf("the backup got %d of %d dials, want 65 %%", got[backup.ID()], n)
	}
	for host := 2; host < 5; host++ {
		client.health.answered(netip.AddrPortFrom(ip(host), 7000))
	}
	if got := tally(t, n/2, by(t, &Dialer{Node: client})); got[backup.ID()] != 0 {
		t.Errorf("the backup got %d of %d dials after it was over", got[backup.ID()], n/2)
	}
}

// TestTrial: once an ejection is over, one dial tries the instance; the others
// that begin meanwhile do not wait for it.
func TestTrial(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.nodeWith(Config{TryNext: 200 * time.Millisecond}, ip(1))
	client.health.addrs.First = time.Second
	l.add("svc:web", nowhere)
	server, _ := l.instance(2, "svc:web", ListenConfig{})
	var syns counter
	l.net.SetTap(func(p *simnet.Packet) bool {
		if p.To == nowhere {
			syns.count(typeOf(p.Data))
		}
		return true
	})
	for round := 1; ; round++ {
		var all sync.WaitGroup
		dials := 8
		if round == 1 {
			dials = 1
		}
		for range dials {
			all.Go(func() {
				c, err := client.Dial("svc:web")
				if err != nil {
					t.Error(err)
					return
				}
				if got := c.PeerIdentity().Node; got != server.ID() {
					t.Errorf("%v answered", got)
				}
				c.Close()
			})
		}
		all.Wait()
		if got := syns.get(sal.TypeSYN); got != round {
			t.Errorf("after %d ejections the silent instance has got %d SYNs", round, got)
		}
		if round == 3 {
			break
		}
		eventually(t, "the ejection is over", func() bool {
			s, _ := client.health.addrs.Standing(nowhere, time.Now())
			return s == resolver.Trial
		})
	}
}

// TestHalfAreSilent: half the instances are black holes. Each costs one of the
// dials at most its timer; then they are left alone, and nothing fails.
func TestHalfAreSilent(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.flat = true
	client := l.nodeWith(Config{TryNext: 500 * time.Millisecond}, ip(1))
	client.health.addrs.First = time.Hour
	holes := make(map[netip.AddrPort]bool)
	for host := 2; host < 8; host++ {
		n, _ := l.instance(host, "svc:web", ListenConfig{})
		if host%2 == 0 {
			holes[n.at()] = true
		}
	}
	var syns counter
	l.net.SetTap(func(p *simnet.Packet) bool {
		if holes[p.To] {
			syns.count(typeOf(p.Data))
		}
		return !holes[p.To]
	})
	dial := by(t, &Dialer{Node: client})
	eventually(t, "all black holes are known", func() bool {
		reached(t, dial)
		n := 0
		for at := range holes {
			if client.health.suspect(at, time.Now()) {
				n++
			}
		}
		return n == len(holes)
	})
	before := syns.get(sal.TypeSYN)
	if before > len(holes) {
		t.Errorf("%d black holes got %d SYNs", len(holes), before)
	}
	tally(t, tries(80), dial)
	if n := syns.get(sal.TypeSYN) - before; n > 0 {
		t.Errorf("black holes got %d more SYNs", n)
	}
}

// TestHearsay: what others told the resolver counts until the node knows better.
func TestHearsay(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.node(1)
	first, _ := l.instance(2, "svc:web", ListenConfig{})
	second, _ := l.instance(3, "svc:web", ListenConfig{})
	l.edit(first.ID(), func(in *resolver.Instance) { in.Suspect = true })
	dial := func() (*Conn, error) { return client.Dial("svc:web") }
	if got := reached(t, dial); got != second.ID() {
		t.Errorf("%v answered, whom others found silent", got)
	}
}
