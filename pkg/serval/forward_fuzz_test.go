package serval

import (
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
)

// FuzzForward hands arbitrary bytes, as they are and as the parts of what a router
// looks into, to one. Nothing panics, nothing is kept, and what leaves is a SYN, of
// the size that came but for an entry of SOURCE, or an answer that shrank.
func FuzzForward(f *testing.F) {
	l := newLab(f)
	router := l.nodeWith(Config{Forward: true}, ip(1))
	forward(f, router, "svc:*", at(2))
	out := newOutlet()
	out.local = router.at()
	fw := &forwarding{node: router}
	fw.trains.flush()
	from := netip.AddrPortFrom(ip(66), 6666)
	good := sal.AppendSource(nil, sal.Source{Addr: from, Tag: fw.tag(from, router.at(), 9, epochAt(time.Now()))})
	syn := sal.SYN{Flow: 9, HopLimit: 16, Service: sal.MustParseName("svc:a").ServiceID(), Noise: noise(32)}
	for _, seed := range [][]byte{nil, syn.Append(nil), {byte(sal.ExtAvoid), 18, 1}, append([]byte{byte(sal.ExtSource), 26}, good...),
		(&sal.Back{Origin: at(2), Way: good, Packet: noise(25)}).Append(nil)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		withExt := syn
		withExt.Extensions = data
		for _, pkt := range [][]byte{
			data,
			withExt.Append(nil),
			append((&sal.Datagram{Source: 9, Service: routerID}).Append(nil), data...),
		} {
			if len(pkt) == 0 || len(pkt) > underlay.MaxPayload {
				continue
			}
			size := len(pkt)
			b := &underlay.Batch{Data: append([]byte(nil), pkt...), Seg: size, From: from, Socket: out}
			router.take(b, fw)
			for i := range fw.trains.t[:fw.trains.n] {
				tr := &fw.trains.t[i]
				got, err := sal.ParseSYN((*tr.buf)[:tr.len])
				if err != nil || tr.len > size+28 || tr.to.addr != at(2) || got.HopLimit == 255 {
					t.Fatalf("%x was forwarded as %x: %v", pkt, (*tr.buf)[:tr.len], err)
				}
				tr.len = 0
			}
			fw.trains.flush()
		}
		if s := router.Stats(); s.Connections != 0 || s.Flows != 0 {
			t.Fatalf("left behind: %d flows, %d connections", s.Flows, s.Connections)
		}
	})
}
