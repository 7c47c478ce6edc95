package simnet

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-net/serval/internal/underlay"
)

func TestNAT(t *testing.T) {
	var (
		public = netip.MustParseAddr("198.51.100.1")
		inner  = netip.MustParseAddr("10.0.0.1")
		other  = netip.MustParseAddr("10.0.0.2")
	)
	for _, c := range []struct {
		kind       NATKind
		samePort   bool // for two destinations
		strangerOK bool
	}{
		{FullCone, true, true},
		{Restricted, true, false},
		{Symmetric, false, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := New(1)
			defer n.Close()
			nat := n.NAT(public, c.kind)
			home := nat.Host(inner)
			s, atHome := listen(t, home, inner, 5000)
			out, _ := listen(t, nat.Host(other), other, 5000)
			a, atA := listen(t, n.Host(addrA), addrA, 1)
			b, atB := listen(t, n.Host(addrB), addrB, 2)

			// seen sends to a peer and returns the source it sees.
			seen := func(s, to underlay.Socket, l *log) netip.AddrPort {
				t.Helper()
				send(t, s, "out", 3, to.LocalAddr())
				synctest.Wait()
				if len(l.all) != 1 {
					t.Fatal("not received:", l.all)
				}
				from := l.all[0].from
				l.all = nil
				return from
			}
			first, second := seen(s, a, atA), seen(s, b, atB)
			if first.Addr() != public || (first == second) != c.samePort {
				t.Errorf("seen from %v and %v", first, second)
			}
			if c.kind != Symmetric && first.Port() != 5000 {
				t.Errorf("port not preserved: %v", first)
			}
			if from := seen(out, a, atA); from == first || from.Addr() != public {
				t.Errorf("two hosts seen from %v", from)
			}

			send(t, a, "answer", 6, first)
			if got := atHome.wait(0); !slices.Equal(got, []string{"answer"}) {
				t.Error(got)
			}
			stranger, _ := listen(t, n.Host(netip.MustParseAddr("203.0.113.1")), netip.MustParseAddr("203.0.113.1"), 9)
			send(t, stranger, "hi", 2, first)
			if got := atHome.wait(0); (got != nil) != c.strangerOK {
				t.Error("from a stranger:", got)
			}
			send(t, stranger, "hi", 2, s.LocalAddr()) // a private address
			send(t, out, "near", 4, s.LocalAddr())    // not translated
			if got := atHome.wait(0); !slices.Equal(got, []string{"near"}) {
				t.Error(got)
			}

			nat.Rebind()
			send(t, a, "lost", 4, first)
			if got := atHome.wait(time.Second); got != nil {
				t.Error("through a forgotten mapping:", got)
			}
			again := seen(s, a, atA)
			if again == first {
				t.Error("same port after Rebind")
			}
			send(t, a, "found", 5, again)
			if got := atHome.wait(0); !slices.Equal(got, []string{"found"}) {
				t.Error(got)
			}
		})
	}
}
