package underlay

import (
	"bytes"
	"net/netip"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		var u UDP
		got := make(chan []byte, 64)
		addr := netip.AddrPortFrom(netip.MustParseAddr(ip), 0)
		b, err := u.Listen(addr, func(b *Batch) {
			for d := b.Data; len(d) > 0; d = d[min(b.Seg, len(d)):] {
				got <- bytes.Clone(d[:min(b.Seg, len(d))])
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		a, err := u.Listen(addr, func(*Batch) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Send([]byte("helloworld!"), 5, b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"hello", "world", "!"} {
			if d := <-got; string(d) != want {
				t.Fatalf("%s: got %q, want %q", ip, d, want)
			}
		}
		a.Close()
		b.Close()
	}
}
