package flowset

import (
	"crypto/sha256"
	"testing"
	"time"
)

// TestTenMinutes takes all paths away for nearly as long as a connection waits,
// as when a laptop is shut and opened again, and for longer.
func TestTenMinutes(t *testing.T) {
	for _, tc := range []struct {
		outage time.Duration
		want   error
	}{
		{590 * time.Second, nil},
		{630 * time.Second, ErrTimedOut},
	} {
		const size = 5 << 20
		n := roads(3, fastRoad, fastRoad)
		n.a.bulk(size)
		n.b.sum = sha256.New()
		n.settle(200 * ms)
		for i := range 2 {
			n.kill(i, true)
		}
		n.run(n.now.Add(tc.outage), never)
		for i := range 2 {
			n.kill(i, false)
		}
		back, got := n.now, n.b.got
		n.run(n.now.Add(5*time.Second), func() bool { return n.b.got > got })
		if err := n.a.conn.Err(); err != tc.want {
			t.Errorf("after %v: %v, want %v", tc.outage, err, tc.want)
		}
		if tc.want != nil {
			continue
		}
		if d := n.now.Sub(back); n.b.got == got || d > 2500*time.Millisecond {
			t.Errorf("after %v it went on after %v", tc.outage, d)
		}
		n.run(n.now.Add(10*time.Second), func() bool { return n.b.fin })
		if !n.b.fin || n.b.got != size {
			t.Errorf("after %v: %d of %d bytes, ended %v", tc.outage, n.b.got, size, n.b.fin)
		}
	}
}
