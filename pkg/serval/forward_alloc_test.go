package serval

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
)

// countingSocket counts what is sent.
type countingSocket struct {
	underlay.Socket
	sends, bytes int
}

func (s *countingSocket) Send(b []byte, _ int, _ netip.AddrPort) error {
	s.sends++
	s.bytes += len(b)
	return nil
}

// TestForwardFast: forwarding allocates nothing, and what comes together for one
// next hop leaves together.
func TestForwardFast(t *testing.T) {
	l := newLab(t)
	n := l.nodeWith(Config{Forward: true}, ip(1))
	rule := forward(t, n, "svc:shop/*", at(2))
	in := n.sockets.list()[0].Socket
	out := &countingSocket{Socket: in}
	rule.Target.memo.Store(&hopFound{with: n.sockets.now.Load(), nextHop: nextHop{at(2), out}})
	syn := sal.SYN{Flow: 7, HopLimit: 16, Service: sal.MustParseName("svc:shop/cart").ServiceID(), Noise: noise(32)}
	for range 3 {
		syn.Extensions, _ = syn.Extensions.Add(sal.ExtPad, make([]byte, 235))
	}
	train := bytes.Repeat(syn.Append(nil), 20)
	size := len(train) / 20
	f := &forwarding{node: n}
	work := make([]byte, len(train))
	b := &underlay.Batch{Seg: size, Socket: in}
	run := func() {
		for i := range 3 { // three senders, then there is no more
			copy(work, train)
			b.Data, b.From, b.More = work, at(10+i), i < 2
			n.take(b, f)
			if !b.More {
				f.trains.flush()
			}
		}
	}
	run()
	if out.bytes != 3*len(train) || out.sends > 1+out.bytes/(underlay.MaxPayload-size) {
		t.Errorf("%d bytes left in %d sends", out.bytes, out.sends)
	}
	if raceEnabled {
		return // sync.Pool drops some on purpose
	}
	if allocs := testing.AllocsPerRun(100, run); allocs != 0 {
		t.Errorf("%v allocations for 60 SYNs", allocs)
	}
}
