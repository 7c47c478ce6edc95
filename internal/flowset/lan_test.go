package flowset

import (
	"testing"
	"time"
)

// TestLANSharing: flows between two hosts of a LAN share the receiver's socket
// buffer, and get equal shares of what it can take, without loss.
func TestLANSharing(t *testing.T) {
	long(t)
	for _, n := range []int{2, 8, 64} {
		const rate, rtt = 4e9 / 8, 100 * time.Microsecond
		w := &world{now: 1e9}
		link := w.newWire(1, rate, rtt/2)
		link.queue = 4 << 20
		var ends []*end
		for i := range n {
			a, b := newPair(w, uint64(i)*13+1, rtt)
			a.out, b.out = link, w.newWire(uint64(i), 0, rtt/2)
			ends = append(ends, b)
			w.at(w.now.Add(time.Duration(i)*3*time.Millisecond), func() { a.bulk(0) })
		}
		w.run(w.now.Add(600*time.Millisecond), never)
		from := make([]int, n)
		for i, e := range ends {
			from[i] = e.got
		}
		link.resetStats()
		const span = 400 * time.Millisecond
		w.run(w.now.Add(span), never)
		shares, sum := make([]float64, n), 0.0
		for i, e := range ends {
			shares[i] = float64(e.got - from[i])
			sum += shares[i]
		}
		share := sum / span.Seconds() / rate
		t.Logf("%d flows: %.3f of the link, jain %.3f, queue mean %v max %v, dropped %d of %d", n, share, jain(shares),
			link.meanWait().Round(1e4), link.maxWait.Round(1e4), link.dropped, link.sent)
		if jain(shares) < 0.9 || share < 0.9 {
			t.Errorf("%d flows: Jain index %.3f, %.2f of the link", n, jain(shares), share)
		}
	}
}
