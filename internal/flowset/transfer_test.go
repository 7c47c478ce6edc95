package flowset

import (
	"crypto/sha256"
	"testing"
	"time"
)

func TestTransferIntact(t *testing.T) {
	for _, tc := range []struct {
		name string
		mod  func(fwd, back *wire)
	}{
		{"clean", nil},
		{"loss 1%", func(f, b *wire) { f.loss, b.loss = 0.01, 0.01 }},
		{"loss 20%", func(f, b *wire) { f.loss, b.loss = 0.2, 0.2 }},
		{"reorder 10%", func(f, b *wire) { f.reorder, b.reorder = 0.1, 0.1 }},
		{"duplicates 10%", func(f, b *wire) { f.dup, b.dup = 0.1, 0.1 }},
		{"all at once", func(f, b *wire) {
			f.loss, b.loss, f.reorder, f.dup = 0.02, 0.02, 0.05, 0.05
		}},
		{"short queue", func(f, b *wire) { f.queue = f.rate * 0.002 }},
		{"small mtu", func(f, b *wire) { f.mtu = 1280; b.mtu = 1280 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, a, b := pair(1, 100e6/8, 20*time.Millisecond, tc.mod)
			const size = 3 << 20
			a.bulk(size)
			b.sum = sha256.New()
			w.run(w.now.Add(120*time.Second), func() bool { return b.fin && a.conn.Sent() })
			if b.got != size || !b.fin {
				t.Fatalf("received %d of %d bytes, fin %v", b.got, size, b.fin)
			}
			if string(a.sum.Sum(nil)) != string(b.sum.Sum(nil)) {
				t.Fatal("bytes differ")
			}
			if !a.conn.Sent() {
				t.Fatal("the end of stream was not acknowledged")
			}
			t.Logf("took %v %+v", w.now.Sub(1e9), a.flow.Stats())
		})
	}
}
