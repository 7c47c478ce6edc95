package flowset

import (
	"testing"
	"time"
)

// TestPaths is a single flow on paths with quirks: how much of the link it
// uses, and what queue it adds.
func TestPaths(t *testing.T) {
	long(t)
	const ms = time.Millisecond
	for _, tc := range []struct {
		name  string
		rate  float64
		rtt   time.Duration
		mod   func(fwd, back *wire)
		want  float64       // share of the link
		queue time.Duration // added on average, at most
	}{
		{"clean", 100e6, 20 * ms, func(f, b *wire) {}, 0.94, 5 * ms},
		{"slow", 5e6, 40 * ms, func(f, b *wire) {}, 0.9, 20 * ms},
		{"queue of 5 ms", 100e6, 20 * ms, func(f, b *wire) { f.queue = f.rate * 0.005 }, 0.93, 5 * ms},
		{"queue of 200 ms", 100e6, 20 * ms, func(f, b *wire) { f.queue = f.rate * 0.2 }, 0.94, 5 * ms},
		{"acks lost 10%", 100e6, 20 * ms, func(f, b *wire) { b.loss = 0.1 }, 0.93, 5 * ms},
		{"acks in lumps of 10 ms", 100e6, 20 * ms, func(f, b *wire) { b.lump = 10 * ms }, 0.9, 15 * ms},
		{"data in lumps of 10 ms", 100e6, 20 * ms, func(f, b *wire) { f.lump = 10 * ms }, 0.9, 15 * ms},
		{"acks in lumps of 10 ms, 1 Gbit/s", 1e9, 20 * ms, func(f, b *wire) { b.lump = 10 * ms }, 0.9, 15 * ms},
		{"acks in lumps of 4 ms, RTT 5 ms", 1e9, 5 * ms, func(f, b *wire) { b.lump = 4 * ms }, 0.9, 15 * ms},
		{"jitter 5 ms", 100e6, 20 * ms, func(f, b *wire) { f.jitter, f.inOrder, b.jitter, b.inOrder = 5*ms, true, 5*ms, true }, 0.9, 10 * ms},
		{"jitter 5 ms, reordered", 100e6, 20 * ms, func(f, b *wire) { f.jitter, b.jitter = 5*ms, 5*ms }, 0.8, 10 * ms},
		{"jitter 5 ms, reordered, loss 1%", 100e6, 20 * ms, func(f, b *wire) { f.jitter, b.jitter, f.loss = 5*ms, 5*ms, 0.01 }, 0.78, 10 * ms},
		{"jitter 5 ms, 1 Gbit/s", 1e9, 20 * ms, func(f, b *wire) { f.jitter, f.inOrder, b.jitter, b.inOrder = 5*ms, true, 5*ms, true }, 0.9, 10 * ms},
		{"policed to half", 200e6, 20 * ms, func(f, b *wire) { f.police = f.rate / 2 }, 0.4, 5 * ms},
		{"loss 5%", 100e6, 50 * ms, func(f, b *wire) { f.loss = 0.05 }, 0.85, 5 * ms},
		{"loss 15%", 100e6, 50 * ms, func(f, b *wire) { f.loss = 0.15 }, 0.7, 5 * ms},
	} {
		w, a, b := pair(3, tc.rate/8, tc.rtt, tc.mod)
		a.bulk(0)
		w.run(w.now.Add(1500*ms), never)
		from, at, lost, sent := b.got, w.now, a.flow.Stats().PacketsLost, a.flow.Stats().PacketsSent
		a.out.resetStats()
		w.run(w.now.Add(6*time.Second), never)
		got := float64(b.got-from) * 8 / w.now.Sub(at).Seconds() / tc.rate
		st := a.flow.Stats()
		t.Logf("%-34s %.3f of the link, queue mean %v max %v, lost %.1f%% spurious %d, %s", tc.name, got,
			a.out.meanWait().Round(1e5), a.out.maxWait.Round(1e5), 100*float64(st.PacketsLost-lost)/float64(st.PacketsSent-sent), st.Spurious, a.debug())
		if got < tc.want {
			t.Errorf("%s: only %.3f of the link, want %.2f", tc.name, got, tc.want)
		}
		if a.out.meanWait() > tc.queue {
			t.Errorf("%s: a queue of %v, want %v", tc.name, a.out.meanWait(), tc.queue)
		}
	}
}

// TestRateChange changes the link's rate under a running flow.
func TestRateChange(t *testing.T) {
	long(t)
	const ms = time.Millisecond
	for _, tc := range []struct {
		name     string
		from, to float64
		within   time.Duration // uses nine tenths of the new rate by then,
		queue    time.Duration // with no more than this queue
	}{
		{"drop", 100e6, 20e6, 2 * time.Second, 25 * ms},
		{"rise", 20e6, 100e6, 3 * time.Second, 25 * ms},
		{"rise fivefold again", 100e6, 500e6, 3 * time.Second, 25 * ms},
	} {
		w, a, b := pair(5, tc.from/8, 20*ms, nil)
		a.out.queue = max(tc.from, tc.to) / 8 * 0.05
		a.bulk(0)
		w.run(w.now.Add(6*time.Second), never)
		a.out.rate, b.out.rate = tc.to/8, tc.to/8
		changed := w.now
		var since time.Duration
		for w.now.Sub(changed) < 5*time.Second {
			last := b.got
			a.out.resetStats()
			w.run(w.now.Add(200*ms), never)
			share := float64(b.got-last) * 8 / 0.2 / tc.to
			if since == 0 && share > 0.88 && a.out.meanWait() < tc.queue {
				since = w.now.Sub(changed)
			}
		}
		t.Logf("%s from %.0f to %.0f Mbit/s: settled after %v, %s", tc.name, tc.from/1e6, tc.to/1e6, since, a.debug())
		if since == 0 || since > tc.within {
			t.Errorf("%s from %.0f to %.0f Mbit/s: settled after %v, want %v", tc.name, tc.from/1e6, tc.to/1e6, since, tc.within)
		}
	}
}

// TestLAN is the unpaced mode: a round trip below lanRTT and a socket buffer
// for a queue.
func TestLAN(t *testing.T) {
	long(t)
	for _, tc := range []struct {
		rate, loss float64
		after, run time.Duration
		queue      time.Duration // at most, after startup
	}{
		{10e9, 0, 200 * time.Millisecond, 300 * time.Millisecond, 2 * time.Millisecond},
		{10e9, 0.001, 200 * time.Millisecond, 300 * time.Millisecond, 2 * time.Millisecond},
		{10e9, 0.01, 200 * time.Millisecond, 300 * time.Millisecond, 2 * time.Millisecond},
		{1e9, 0, 200 * time.Millisecond, 300 * time.Millisecond, 12 * time.Millisecond},
		{100e6, 0, 12 * time.Second, 3 * time.Second, 15 * time.Millisecond},
		{10e6, 0, 12 * time.Second, 3 * time.Second, 60 * time.Millisecond},
	} {
		w, a, b := pair(1, tc.rate/8, 100*time.Microsecond, func(f, back *wire) { f.loss, f.queue = tc.loss, 4<<20 })
		a.bulk(0)
		w.run(w.now.Add(tc.after), never)
		from, at := b.got, w.now
		a.out.resetStats()
		w.run(w.now.Add(tc.run), never)
		got := float64(b.got-from) * 8 / w.now.Sub(at).Seconds() / tc.rate
		t.Logf("%5.0fM loss %.1f%%: %.3f of the link, queue max %v, %s", tc.rate/1e6, tc.loss*100, got, a.out.maxWait.Round(1e4), a.debug())
		if got < 0.8 {
			t.Errorf("%.0f Mbit/s, loss %v: only %.2f of the link", tc.rate/1e6, tc.loss, got)
		}
		if a.out.maxWait > tc.queue {
			t.Errorf("%.0f Mbit/s, loss %v: a queue of %v", tc.rate/1e6, tc.loss, a.out.maxWait)
		}
	}
}
