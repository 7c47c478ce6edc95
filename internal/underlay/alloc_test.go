//go:build !race

package underlay

import (
	"net/netip"
	"testing"
)

// The race detector makes sync.Pool forget, hence the build constraint.
func TestNoAllocation(t *testing.T) {
	each(t, func(t *testing.T, u *UDP, addr netip.AddrPort) {
		got := make(chan bool, 64)
		b := listen(t, u, addr, func(b *Batch) {
			datagrams(b, func([]byte) { got <- true })
		})
		defer b.Close()
		a := listen(t, u, addr, ignore)
		defer a.Close()
		buf := make([]byte, 10_000)
		n := testing.AllocsPerRun(100, func() {
			if err := a.Send(buf, 1250, b.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			for range 8 {
				<-got
			}
		})
		if n >= 1 {
			t.Errorf("%v allocations to send and receive a batch", n)
		}
	})
}
