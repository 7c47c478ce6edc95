package serval

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// at is the address of the lab's n-th host's node.
func at(n int) netip.AddrPort { return netip.AddrPortFrom(ip(n), 7000) }

// forward makes a node send first packets for a service on.
func forward(t testing.TB, n *Node, service string, to ...netip.AddrPort) *servicetable.Rule[target] {
	t.Helper()
	return forwardBy(t, n, service, 1, to...)
}

// forwardBy is forward with a weight.
func forwardBy(t testing.TB, n *Node, service string, weight uint32, to ...netip.AddrPort) *servicetable.Rule[target] {
	t.Helper()
	r := &servicetable.Rule[target]{Prefix: sal.MustParseName(service).Prefix(), Action: servicetable.Forward, Weight: weight, Target: target{addrs: to, memo: new(hopMemo)}}
	must(t, n.services.Add(r))
	return r
}

// hidden starts a node whose instances only those find that forward to them.
func (l *lab) hidden(host int) *Node { return l.nodeWith(Config{Resolver: new(book)}, ip(host)) }

// record keeps what passes on the lab's network.
type record struct {
	mu   sync.Mutex
	seen []seen
}

type seen struct {
	from, to netip.AddrPort
	typ      sal.Type
	size     int
}

func (l *lab) record() *record {
	r := new(record)
	l.net.SetTap(func(p *simnet.Packet) bool {
		r.mu.Lock()
		r.seen = append(r.seen, seen{p.From, p.To, typeOf(p.Data), len(p.Data)})
		r.mu.Unlock()
		return true
	})
	return r
}

// count counts the packets of a type between two addresses; an invalid one is any.
func (r *record) count(typ sal.Type, from, to netip.AddrPort) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.seen {
		if s.typ == typ && (!from.IsValid() || s.from == from) && (!to.IsValid() || s.to == to) {
			n++
		}
	}
	return n
}

// touching lists the types of the packets from or to an address.
func (r *record) touching(a netip.AddrPort) (types []sal.Type) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.seen {
		if s.from == a || s.to == a {
			types = append(types, s.typ)
		}
	}
	return types
}

var anyone netip.AddrPort

// TestRouter: the router forwards the SYN and sees nothing else of the connection.
func TestRouter(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, router, server := l.node(1), l.nodeWith(Config{Forward: true}, ip(2)), l.hidden(3)
	l.echo(server, "svc:echo")
	l.book.list = nil
	l.add("svc:echo", at(2))
	rule := forward(t, router, "svc:echo", at(3))
	r := l.record()
	c := l.dial(client, "svc:echo")
	if got := c.RemoteAddr().(*Addr); got.Underlay != at(3) || got.Instance != server.ID() {
		t.Errorf("connected to %v at %v", got, got.Underlay)
	}
	must(t, exchange(c, 1<<20))
	// A SYN in and out, and where the OPEN takes longer than 10 ms, the SYN-ACK.
	if got := r.touching(at(2)); !slices.Equal(got, []sal.Type{sal.TypeSYN, sal.TypeSYN}) &&
		!slices.Equal(got, []sal.Type{sal.TypeSYN, sal.TypeSYN, sal.TypeDatagram, sal.TypeDatagram}) {
		t.Errorf("the router had to do with %v, want two SYNs: in and out", got)
	}
	if n, size := rule.Counted(); n != 1 || size == 0 {
		t.Errorf("the rule counted %d packets, %d bytes", n, size)
	}
	if s := router.Stats(); s.Flows != 0 || s.Forwarded != 1 || s.Returned > 1 {
		t.Errorf("the router keeps %d flows, forwarded %d SYNs, returned %d answers", s.Flows, s.Forwarded, s.Returned)
	}
}

// TestRouterOff: a node that is not told to forward refuses.
func TestRouterOff(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, router, server := l.node(1), l.node(2), l.hidden(3)
	l.echo(server, "svc:echo")
	l.add("svc:echo", at(2))
	forward(t, router, "svc:echo", at(3))
	_, err := client.Dial("svc:echo")
	sentence(t, err, ErrNoService, "svc:echo")
}

// TestRouterRoundTrips: a dial through a router takes one path more than a direct
// one.
func TestRouterRoundTrips(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const hop = 40 * time.Millisecond
	for _, p := range [][2]int{{1, 2}, {2, 3}, {1, 3}} {
		l.delay(p[0], p[1], hop)
	}
	client, router, server := l.node(1), l.nodeWith(Config{Forward: true}, ip(2)), l.hidden(3)
	l.echo(server, "svc:echo")
	l.add("svc:echo", at(2))
	forward(t, router, "svc:echo", at(3))
	begin := time.Now()
	c := l.dial(client, "svc:echo")
	dial := time.Since(begin)
	must(t, ask(c, "request"))
	all := time.Since(begin)
	t.Logf("dial %v, first answer %v; a hop is %v", dial, all, hop)
	if dial < 3*hop || dial > 4*hop+30*time.Millisecond {
		t.Errorf("the dial took %v, want three hops of %v", dial, hop)
	}
	if all > 6*hop+60*time.Millisecond {
		t.Errorf("the first answer took %v, want five hops of %v", all, hop)
	}
	must(t, c.Close())
}
