package flowset

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/seal"
)

const ms = time.Millisecond

// road is a path of a test.
type road struct {
	rate float64 // bits per second
	rtt  time.Duration
	mod  func(fwd, back *wire)
}

// net is two ends and the wires between them.
type net struct {
	*world
	a, b *end
	fwd  []*wire
	back []*wire
}

// roads joins two ends over several paths.
func roads(seed uint64, rs ...road) *net {
	w, a, b := pair(seed, rs[0].rate/8, rs[0].rtt, rs[0].mod)
	n := &net{world: w, a: a, b: b, fwd: []*wire{a.out}, back: []*wire{b.out}}
	for i, r := range rs[1:] {
		i := uint8(i + 1)
		add := func(e *end, local, remote byte) {
			e.conn.AddFlow(flow.New(w.now, flow.Config{
				Index: i, Local: 10, Remote: 10, RTT: r.rtt, LinkMTU: 1472, Seed: seed + uint64(i)*3 + uint64(local),
				Sealer: seal.NewSealer(seal.AES128GCM, [32]byte{local, i}, 0),
				Opener: seal.NewOpener(seal.AES128GCM, [32]byte{remote, i}, 0),
			}), Active)
		}
		add(a, 1, 2)
		add(b, 2, 1)
		f, g := w.newWire(seed+uint64(i)*2, r.rate/8, r.rtt/2), w.newWire(seed+uint64(i)*2+1, r.rate/8, r.rtt/2)
		if r.mod != nil {
			r.mod(f, g)
		}
		a.more, b.more = append(a.more, f), append(b.more, g)
		n.fwd, n.back = append(n.fwd, f), append(n.back, g)
	}
	return n
}

// kill makes path i swallow everything, or heals it.
func (n *net) kill(i int, dead bool) { n.fwd[i].dead, n.back[i].dead = dead, dead }

// every does something now and again.
func (n *net) every(d time.Duration, do func()) {
	do()
	n.at(n.now.Add(d), func() { n.every(d, do) })
}

// settle runs until t after the start and begins a measurement.
func (n *net) settle(d time.Duration) {
	n.run(n.now.Add(d), never)
	for _, e := range []*end{n.a, n.b} {
		e.gap, e.last = 0, n.now
	}
}

// goodput returns bits per second of stream over d.
func (n *net) goodput(d time.Duration) float64 {
	from, at := n.b.got, n.now
	n.run(n.now.Add(d), never)
	return float64(n.b.got-from) * 8 / n.now.Sub(at).Seconds()
}

func (n *net) debug() string {
	s := ""
	for i, p := range n.a.conn.paths {
		st := p.f.Stats()
		s += fmt.Sprintf(" [%d %v %s rate %.1f cwnd %d inflight %d rtt %.1f/%.1f sent %dk lost %d timeouts %d]", i, p.state, st.Mode,
			st.Rate*8/1e6, st.Cwnd, st.InFlight, st.RTT.Seconds()*1e3, st.MinRTT.Seconds()*1e3, st.BytesSent>>10, st.PacketsLost, st.Timeouts)
	}
	if n.b == nil {
		return s
	}
	r := n.b.conn.Stats()
	return fmt.Sprintf("%s held %dk window %dk", s, r.Held>>10, r.Window>>10)
}

// TestAggregate: the sum of what the paths carry, and never less than the
// better one.
func TestAggregate(t *testing.T) {
	long(t)
	fast := road{100e6, 20 * ms, nil}
	alone := func(r road) float64 {
		n := roads(1, r)
		n.a.bulk(0)
		n.settle(1500 * ms)
		return n.goodput(5 * time.Second)
	}
	best := alone(fast)
	for _, tc := range []struct {
		name  string
		other road
		sum   float64 // share of the sum of both, each alone
		do    func(n *net)
	}{
		{"equal", fast, 0.98, nil},
		{"100 Mbit/s, 20 ms and 20 Mbit/s, 160 ms", road{20e6, 160 * ms, nil}, 0.95, nil},
		{"100 Mbit/s, 20 ms and 5 Mbit/s, 60 ms", road{5e6, 60 * ms, nil}, 0.95, nil},
		{"100 Mbit/s, 20 ms and 500 Mbit/s, 10 ms", road{500e6, 10 * ms, nil}, 0.95, nil},
		{"loss of 5 % on one", road{100e6, 20 * ms, func(f, b *wire) { f.loss, b.loss = 0.05, 0.05 }}, 0, nil},
		{"delay of 400 ms on one", road{10e6, 400 * ms, nil}, 0, nil},
		{"bloat of 400 ms on one", fast, 0, func(n *net) { n.fwd[1].delay += 400 * ms }},
		{"queue of 400 ms on one", fast, 0, func(n *net) { n.fwd[1].rate, n.fwd[1].queue = 1e6/8, 50e3 }},
		{"delay of one up to 100 ms", fast, 0, func(n *net) {
			n.every(150*ms, func() { n.fwd[1].delay = time.Duration(n.fwd[1].rng.IntN(int(100 * ms))) })
		}},
		{"rate of one from 2 % up", fast, 0, func(n *net) {
			n.every(200*ms, func() { n.fwd[1].rate = 100e6 / 8 * (0.02 + n.fwd[1].rng.Float64()) })
		}},
		{"packets of one in lumps of 100 ms", road{100e6, 20 * ms, func(f, b *wire) { f.lump, b.lump = 100*ms, 100*ms }}, 0, nil},
		{"flapping every 300 ms", fast, 0, func(n *net) { n.every(300*ms, func() { n.kill(1, !n.fwd[1].dead) }) }},
		{"flapping every 50 ms", fast, 0, func(n *net) { n.every(50*ms, func() { n.kill(1, !n.fwd[1].dead) }) }},
	} {
		n := roads(1, fast, tc.other)
		n.a.bulk(0)
		n.settle(1500 * ms)
		if tc.do != nil {
			tc.do(n)
		}
		got := n.goodput(5 * time.Second)
		want := 0.97 * best
		if tc.sum > 0 {
			want = tc.sum * (best + alone(tc.other))
		}
		t.Logf("%-40s %.1f Mbit/s (better alone %.1f, wanted %.1f), gap %v %s", tc.name, got/1e6, best/1e6, want/1e6, n.b.gap, n.debug())
		if got < want {
			t.Errorf("%s: %.1f Mbit/s, want %.1f", tc.name, got/1e6, want/1e6)
		}
	}
}

// TestNoHarm: in the other modes, too, a bad second path costs next to nothing.
func TestNoHarm(t *testing.T) {
	long(t)
	fast := road{100e6, 20 * ms, nil}
	for _, tc := range []struct {
		name string
		mode Mode
		bad  road
		flap bool
	}{
		{"loss of 5 %", ModeRedundant, road{100e6, 20 * ms, func(f, b *wire) { f.loss, b.loss = 0.05, 0.05 }}, false},
		{"slow", ModeRedundant, road{5e6, 100 * ms, nil}, false},
		{"flapping", ModeRedundant, fast, true},
		{"loss of 5 %", ModeFailover, road{100e6, 20 * ms, func(f, b *wire) { f.loss, b.loss = 0.05, 0.05 }}, false},
		{"flapping", ModeFailover, fast, true},
	} {
		n := roads(1, fast, tc.bad)
		n.a.conn.SetMode(tc.mode)
		n.a.bulk(0)
		n.settle(1500 * ms)
		if tc.flap {
			n.every(300*ms, func() { n.kill(1, !n.fwd[1].dead) })
		}
		if got := n.goodput(5 * time.Second); got < 0.97*95.6e6 {
			t.Errorf("%v, %s: %.1f Mbit/s", tc.mode, tc.name, got/1e6)
		}
	}
}

// TestPathFails: how long bytes stop coming when one of two paths does.
func TestPathFails(t *testing.T) {
	long(t)
	const size = 40 << 20
	fast := road{100e6, 20 * ms, nil}
	linkDown := func(n *net) {
		n.kill(0, true)
		n.a.conn.SetState(n.now, 0, Parked)
		n.a.pump()
	}
	for _, tc := range []struct {
		name string
		mode Mode
		fail func(n *net)
		most time.Duration
	}{
		{"blackhole of the first", ModeAggregate, func(n *net) { n.kill(0, true) }, 120 * ms},
		{"blackhole of the second", ModeAggregate, func(n *net) { n.kill(1, true) }, 120 * ms},
		{"blackhole forward", ModeAggregate, func(n *net) { n.fwd[0].dead = true }, 120 * ms},
		{"blackhole backward", ModeAggregate, func(n *net) { n.back[0].dead = true }, 120 * ms},
		{"link down", ModeAggregate, linkDown, 50 * ms},
		{"link down, both know", ModeAggregate, func(n *net) {
			n.b.conn.SetState(n.now, 0, Parked)
			linkDown(n)
		}, 50 * ms},
		{"failover, blackhole", ModeFailover, func(n *net) { n.kill(0, true) }, 120 * ms},
		{"failover, link down", ModeFailover, linkDown, 50 * ms},
		{"redundant, first", ModeRedundant, func(n *net) { n.kill(0, true) }, 10 * ms},
		{"redundant, second", ModeRedundant, func(n *net) { n.kill(1, true) }, 10 * ms},
	} {
		n := roads(1, fast, fast)
		n.a.conn.SetMode(tc.mode)
		n.b.conn.SetMode(tc.mode)
		n.a.bulk(size)
		n.b.sum = sha256.New()
		n.settle(700 * ms)
		tc.fail(n)
		n.run(n.now.Add(20*time.Second), func() bool { return n.b.fin && n.a.conn.Sent() })
		t.Logf("%-26s gap %v %s", tc.name, n.b.gap, n.debug())
		if n.b.gap > tc.most {
			t.Errorf("%s: a gap of %v, want %v", tc.name, n.b.gap, tc.most)
		}
		n.check(t, tc.name, size)
	}
}

// check fails the test unless all of size bytes arrived as they were written.
func (n *net) check(t *testing.T, name string, size int) {
	t.Helper()
	if n.b.got != size || !n.b.fin || !n.a.conn.Sent() {
		t.Errorf("%s: %d of %d bytes, ended %v, acknowledged %v %v", name, n.b.got, size, n.b.fin, n.a.conn.Sent(), n.a.conn.Err())
	} else if string(n.a.sum.Sum(nil)) != string(n.b.sum.Sum(nil)) {
		t.Errorf("%s: bytes differ", name)
	}
}
