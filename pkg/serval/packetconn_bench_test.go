package serval

import (
	"fmt"
	"testing"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// BenchmarkWriteTo is what a datagram to a service costs, of which the instance is
// chosen anew.
func BenchmarkWriteTo(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(n, "instances"), func(b *testing.B) {
			l := newLab(b)
			var all []resolver.Instance
			for i := range n {
				s := l.node(2 + i)
				_, err := s.ListenPacket("svc:echo")
				must(b, err)
				all = append(all, resolver.Instance{Service: sal.MustParseName("svc:echo"), Node: s.ID(), Addrs: s.sockets.addrs()})
			}
			p := l.socket(l.nodeWith(Config{Resolver: resolver.NewStatic(all...)}, ip(1)))
			_, err := p.WriteAll(b.Context(), "svc:echo", nil)
			must(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.WriteTo(nil, toEcho); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
