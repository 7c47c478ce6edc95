package serval

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/sal"
)

var public = netip.MustParseAddr("203.0.113.1")

// TestRouterNAT: client, router and instance are in three networks, and the client
// behind a NAT of every kind. The router sees no more than a few packets.
func TestRouterNAT(t *testing.T) {
	t.Parallel()
	for _, routers := range []int{1, 2} {
		for _, kind := range []simnet.NATKind{simnet.FullCone, simnet.Restricted, simnet.Symmetric} {
			t.Run(fmt.Sprintf("kind %d, %d routers", kind, routers), func(t *testing.T) {
				l := newLab(t)
				inside := l.net.NAT(public, kind).Host(ip(1))
				client, server := l.nodeOn(inside, Config{}, ip(1)), l.hidden(3)
				l.echo(server, "svc:echo")
				l.add("svc:echo", at(21))
				for i := range routers {
					r := l.nodeWith(Config{Forward: true}, ip(21+i))
					if i < routers-1 {
						forward(t, r, "svc:echo", at(22+i))
					} else {
						forward(t, r, "svc:echo", at(3))
					}
				}
				rec := l.record()
				begin := time.Now()
				c := l.dial(client, "svc:echo")
				took := time.Since(begin)
				if got := c.RemoteAddr().(*Addr).Underlay; got != at(3) {
					t.Errorf("connected to %v", got)
				}
				must(t, exchange(c, 1<<20))
				if took >= DefaultTryNext {
					t.Errorf("the dial took %v: it waited for a timer", took)
				}
				if n := len(rec.touching(at(21))); n > 4 {
					t.Errorf("the router had to do with %d packets, want at most SYN and SYN-ACK in and out", n)
				}
			})
		}
	}
}

// TestRouterCookie: under a flood of SYNs, diallers behind routers still get in,
// with a NAT or without, and the instance keeps nothing before it has its cookie.
func TestRouterCookie(t *testing.T) {
	t.Parallel()
	for _, nat := range []string{"none", "Restricted", "Symmetric"} {
		t.Run(nat, func(t *testing.T) {
			l := newLab(t)
			host := l.net.Host
			switch nat {
			case "Restricted":
				host = l.net.NAT(public, simnet.Restricted).Host
			case "Symmetric":
				host = l.net.NAT(public, simnet.Symmetric).Host
			}
			client, router, server := l.nodeOn(host(ip(1)), Config{}, ip(1)), l.nodeWith(Config{Forward: true}, ip(2)), l.hidden(3)
			l.echo(server, "svc:echo")
			l.add("svc:echo", at(2))
			forward(t, router, "svc:echo", at(3))
			for i := range 300 { // from 256 on it demands cookies
				l.net.Inject(netip.AddrPortFrom(ip(66), uint16(1000+i)), at(3), synFor("svc:echo"))
			}
			eventually(t, "many are half open", func() bool { return server.Stats().Flows >= 256 })
			rec := l.record()
			c := l.dial(client, "svc:echo")
			must(t, exchange(c, 100_000))
			if rec.count(sal.TypeCookie, anyone, anyone) == 0 {
				t.Error("no cookie was demanded")
			}
		})
	}
}
