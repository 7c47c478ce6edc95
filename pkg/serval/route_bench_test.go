package serval

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// BenchmarkCandidates is what a dial does before it sends, and each datagram to a
// service.
func BenchmarkCandidates(b *testing.B) {
	for _, n := range []int{1, 5, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := newLab(b)
			var list []resolver.Instance
			for i := range n {
				list = append(list, resolver.Instance{Service: sal.MustParseName("svc:web"), Node: identity.NodeID{byte(i), byte(i >> 8), 1},
					Addrs: []netip.AddrPort{netip.AddrPortFrom(ip(2+i), 7000)}})
			}
			client := l.nodeWith(Config{Resolver: resolver.NewStatic(list...)}, ip(1))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.candidates(context.Background(), sal.MustParseName("svc:web"), choice{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
