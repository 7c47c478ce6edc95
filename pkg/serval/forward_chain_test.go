package serval

import (
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/sal"
)

// TestRouterChain: a SYN passes several routers, each with a rule of its own.
func TestRouterChain(t *testing.T) {
	t.Parallel()
	for _, routers := range []int{2, sal.MaxSources} {
		l := newLab(t)
		client, server := l.node(1), l.hidden(2)
		l.echo(server, "svc:shop/cart")
		l.add("svc:shop/*", at(11))
		for i := range routers {
			r := l.nodeWith(Config{Forward: true}, ip(11+i))
			if i < routers-1 {
				forward(t, r, "svc:shop/*", at(12+i))
			} else {
				forward(t, r, "svc:shop/cart", at(2))
			}
		}
		rec := l.record()
		c := l.dial(client, "svc:shop/cart")
		if got := c.RemoteAddr().(*Addr).Underlay; got != at(2) {
			t.Errorf("%d routers: connected to %v", routers, got)
		}
		must(t, exchange(c, 100_000))
		if n := rec.count(sal.TypeSYN, anyone, anyone); n != routers+1 {
			t.Errorf("%d routers: %d SYNs, want one for each hop", routers, n)
		}
	}
}

// TestRouterTooFar: there is an end to a chain. The router where it is says so to
// the dialler.
func TestRouterTooFar(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.hidden(2)
	l.echo(server, "svc:echo")
	l.add("svc:echo", at(11))
	const routers = sal.MaxSources + 1
	for i := range routers {
		next := at(12 + i)
		if i == routers-1 {
			next = at(2)
		}
		forward(t, l.nodeWith(Config{Forward: true}, ip(11+i)), "svc:echo", next)
	}
	rec := l.record()
	_, err := client.Dial("svc:echo")
	sentence(t, err, ErrNoService, "svc:echo")
	if n := rec.count(sal.TypeRefuse, at(11+routers-1), at(1)); n == 0 {
		t.Error("the last router did not refuse")
	}
}

// TestRouterLoop: rules that send a SYN in circles cost a lap, not a storm, and a
// router that has another way takes it.
func TestRouterLoop(t *testing.T) {
	t.Parallel()
	t.Run("Circle", func(t *testing.T) {
		l := newLab(t)
		client := l.nodeWith(Config{DialTimeout: 2 * time.Second}, ip(1))
		l.add("svc:echo", at(11))
		for i := range 3 {
			forward(t, l.nodeWith(Config{Forward: true}, ip(11+i)), "svc:echo", at(11+(i+1)%3))
		}
		rec := l.record()
		_, err := client.Dial("svc:echo")
		sentence(t, err, ErrNoService, "svc:echo")
		laps := rec.count(sal.TypeSYN, at(1), anyone)
		if n := rec.count(sal.TypeSYN, anyone, anyone); n > 4*laps {
			t.Errorf("%d SYNs of the client became %d", laps, n)
		}
	})
	t.Run("Back", func(t *testing.T) {
		l := newLab(t)
		client, upper, lower, server := l.node(1), l.nodeWith(Config{Forward: true}, ip(11)), l.nodeWith(Config{Forward: true}, ip(12)), l.hidden(2)
		l.echo(server, "svc:shop/cart")
		l.add("svc:shop/*", at(11))
		forward(t, upper, "svc:shop/*", at(12))
		forward(t, lower, "svc:shop/*", at(11)) // what it does not know is known above, it thinks
		forward(t, lower, "svc:*", at(2))
		rec := l.record()
		must(t, exchange(l.dial(client, "svc:shop/cart"), 1000))
		if n := rec.count(sal.TypeSYN, at(12), at(11)); n != 0 {
			t.Errorf("%d SYNs went back to where they came from", n)
		}
	})
	t.Run("Self", func(t *testing.T) {
		l := newLab(t)
		client, router := l.nodeWith(Config{DialTimeout: 2 * time.Second}, ip(1)), l.nodeWith(Config{Forward: true}, ip(11))
		l.add("svc:echo", at(11))
		forward(t, router, "svc:echo", at(11))
		rec := l.record()
		_, err := client.Dial("svc:echo")
		sentence(t, err, ErrNoService, "svc:echo")
		if n := rec.count(sal.TypeSYN, at(11), anyone); n != 0 {
			t.Errorf("the router sent itself %d SYNs", n)
		}
	})
}

// TestRouterLateBinding: an instance that refuses is avoided in the same dial, and
// one that is dead costs a timer: the router chooses again.
func TestRouterLateBinding(t *testing.T) {
	t.Parallel()
	t.Run("Refused", func(t *testing.T) {
		l := newLab(t)
		client := l.nodeWith(Config{TryNext: time.Hour, DialTimeout: 20 * time.Second}, ip(1))
		router, server := l.nodeWith(Config{Forward: true}, ip(2)), l.hidden(3)
		l.echo(server, "svc:echo")
		l.add("svc:echo", at(2))
		forward(t, router, "svc:echo", at(3))
		for i := range 4 { // who serve nothing, and are likelier
			l.node(4 + i)
			forwardBy(t, router, "svc:echo", 1000, at(4+i))
		}
		for range 3 {
			must(t, exchange(l.dial(client, "svc:echo"), 1000))
		}
	})
	t.Run("Dead", func(t *testing.T) {
		l := newLab(t)
		client := l.nodeWith(Config{TryNext: 30 * time.Millisecond}, ip(1))
		router, server := l.nodeWith(Config{Forward: true}, ip(2)), l.hidden(3)
		l.echo(server, "svc:echo")
		l.add("svc:echo", at(2))
		forwardBy(t, router, "svc:echo", 3, at(3))
		forward(t, router, "svc:echo", nowhere)
		for range 8 {
			must(t, exchange(l.dial(client, "svc:echo"), 1000))
		}
	})
	t.Run("Closed", func(t *testing.T) { // a process was killed, and its host says so
		l := newLab(t)
		client := l.nodeWith(Config{TryNext: time.Hour, DialTimeout: 20 * time.Second}, ip(1))
		first, router, server := l.nodeWith(Config{Forward: true}, ip(11)), l.nodeWith(Config{Forward: true}, ip(2)), l.hidden(3)
		l.echo(server, "svc:echo")
		l.net.Host(ip(4))
		l.add("svc:echo", at(11))
		forward(t, first, "svc:echo", at(2))
		forward(t, router, "svc:echo", at(3))
		forwardBy(t, router, "svc:echo", 1000, at(4))
		must(t, exchange(l.dial(client, "svc:echo"), 1000))
	})
	t.Run("AllRefuse", func(t *testing.T) {
		l := newLab(t)
		client, router := l.node(1), l.nodeWith(Config{Forward: true}, ip(2))
		l.add("svc:echo", at(2))
		for i := range 3 {
			l.node(4 + i)
			forward(t, router, "svc:echo", at(4+i))
		}
		_, err := client.Dial("svc:echo")
		sentence(t, err, ErrNoService, "svc:echo")
	})
}

// TestRouterServesItself: what a router serves itself it takes, and passes on what
// it has no room for.
func TestRouterServesItself(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, router, server := l.node(1), l.nodeWith(Config{Forward: true, Backlog: 1, Resolver: new(book)}, ip(2)), l.hidden(3)
	l.echo(server, "svc:echo")
	_, err := router.Listen("svc:echo")
	must(t, err)
	l.add("svc:echo", at(2))
	forward(t, router, "svc:echo", at(3))
	c := l.dial(client, "svc:echo")
	defer c.Close()
	if got := c.PeerIdentity().Node; got != router.ID() {
		t.Errorf("connected to %v, want the router", got)
	}
	must(t, waitAccepted(router))
	d := l.dial(client, "svc:echo")
	if got := d.PeerIdentity().Node; got != server.ID() {
		t.Errorf("connected to %v, want the other instance", got)
	}
	must(t, exchange(d, 1000))
}

// TestRouterLostPackets dials through two routers while packets get lost.
func TestRouterLostPackets(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, p := range [][2]int{{1, 2}, {2, 3}, {3, 4}, {1, 4}} {
		l.net.SetPath(ip(p[0]), ip(p[1]), simnet.Params{Loss: 0.1, Delay: time.Millisecond})
	}
	client, server := l.nodeWith(Config{TryNext: 50 * time.Millisecond}, ip(1)), l.hidden(4)
	l.echo(server, "svc:echo")
	l.add("svc:echo", at(2))
	forward(t, l.nodeWith(Config{Forward: true}, ip(2)), "svc:echo", at(3))
	forward(t, l.nodeWith(Config{Forward: true}, ip(3)), "svc:echo", at(4))
	for range 10 {
		must(t, exchange(l.dial(client, "svc:echo"), 1000))
	}
}
