package simnet

import (
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/underlay"
)

// BenchmarkThroughput sends 44 datagrams of 1472 bytes per operation, at most
// 32 such batches ahead of the receiver.
func BenchmarkThroughput(b *testing.B) {
	for _, c := range []struct {
		name string
		p    Params
	}{
		{"perfect", Params{}},
		{"delay", Params{Delay: time.Millisecond}},
		{"loss", Params{Loss: 0.01}},
		{"all", Params{Rate: 1e11, Loss: 0.01, Jitter: 100 * time.Microsecond}},
	} {
		b.Run(c.name, func(b *testing.B) {
			n := New(1)
			defer n.Close()
			n.SetPath(addrA, addrB, c.p)
			a, _ := listen(b, n.Host(addrA), addrA, 1)
			dst := netip.AddrPortFrom(addrB, 2)
			newest := make(chan byte, 1024)
			_, err := n.Host(addrB).Listen(dst, func(b *underlay.Batch) {
				newest <- b.Data[0] // a number that all datagrams of a batch bear
			})
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, 44*1472)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			var sent, got byte
			for b.Loop() {
				sent++
				for i := 0; i < len(buf); i += 1472 {
					buf[i] = sent
				}
				for sent-got > 32 {
					got = <-newest
				}
				a.Send(buf, 1472, dst)
			}
			go func() { // lets the handler end
				for range newest {
				}
			}()
			n.Close()
			close(newest)
		})
	}
}
