package simnet

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-net/serval/internal/underlay"
)

var (
	addrA = netip.MustParseAddr("10.0.0.1")
	addrB = netip.MustParseAddr("10.0.0.2")
)

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		defer n.Close()
		n.SetPath(addrA, addrB, Params{Delay: 20 * time.Millisecond})
		var at time.Time
		got := make(chan string)
		b, err := n.Host(addrB).Listen(netip.AddrPortFrom(addrB, 7), func(b *underlay.Batch) {
			at = time.Now()
			got <- string(b.Data)
		})
		if err != nil {
			t.Fatal(err)
		}
		a, err := n.Host(addrA).Listen(netip.AddrPortFrom(addrA, 0), func(*underlay.Batch) {})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := a.Send([]byte("hello"), 5, b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != "hello" || at.Sub(start) != 20*time.Millisecond {
			t.Fatalf("got %q after %v", s, at.Sub(start))
		}
	})
}
