package flowset

import (
	"testing"
	"time"
)

func TestGoodput(t *testing.T) {
	long(t)
	const ms = time.Millisecond
	for _, tc := range []struct {
		rate float64
		rtt  time.Duration
		loss float64
		want float64 // share of the link after ramp-up
	}{
		{100e6, 20 * ms, 0, 0.93},
		{100e6, 20 * ms, 0.001, 0.93},
		{100e6, 20 * ms, 0.01, 0.93},
		{100e6, 100 * ms, 0, 0.93},
		{100e6, 100 * ms, 0.01, 0.93},
		{1e9, 20 * ms, 0, 0.93},
		{1e9, 20 * ms, 0.001, 0.93},
		{1e9, 20 * ms, 0.01, 0.93},
		{1e9, 100 * ms, 0, 0.93},
		{1e9, 100 * ms, 0.001, 0.93},
		{1e9, 100 * ms, 0.01, 0.92},
	} {
		w, a, b := pair(1, tc.rate/8, tc.rtt, func(f, back *wire) { f.loss = tc.loss })
		a.bulk(0)
		var ramp time.Duration // until a tenth of a second runs at nine tenths of the link
		var last, first int
		for range 15 {
			w.run(w.now.Add(100*ms), never)
			if ramp == 0 && float64(b.got-last)*8 > tc.rate/10*0.9 {
				ramp = w.now.Sub(1e9)
			}
			if last = b.got; w.now.Sub(1e9) <= time.Second {
				first = b.got
			}
		}
		from, at := b.got, w.now
		a.out.resetStats()
		w.run(w.now.Add(4*time.Second), never)
		got := float64(b.got-from) * 8 / w.now.Sub(at).Seconds() / tc.rate
		st := a.flow.Stats()
		t.Logf("%4.0fM %5v loss %.1f%%: %.3f of the link, ramp %v, first second %.0f Mbit/s, queue mean %v max %v, srtt %v min %v lost %d spurious %d timeouts %d cwnd %d rate %.0fM dropped %d", tc.rate/1e6, tc.rtt, tc.loss*100, got, ramp,
			float64(first)*8/1e6, a.out.meanWait(), a.out.maxWait, st.RTT, st.MinRTT, st.PacketsLost, st.Spurious, st.Timeouts, st.Cwnd, st.Rate*8/1e6, a.out.dropped)
		if got < tc.want {
			t.Errorf("%.0f Mbit/s, %v, loss %v: only %.3f of the link", tc.rate/1e6, tc.rtt, tc.loss, got)
		}
		if limit := 300*ms + 12*tc.rtt; ramp == 0 || ramp > limit {
			t.Errorf("%.0f Mbit/s, %v, loss %v: reached 0.9 of the link after %v, want %v", tc.rate/1e6, tc.rtt, tc.loss, ramp, limit)
		}
	}
}
