package flowset

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

var fastRoad = road{100e6, 20 * ms, nil}

// TestOutage: nothing reaches the peer for a minute, on one path or on both.
func TestOutage(t *testing.T) {
	for _, tc := range []struct {
		name  string
		roads []road
		mode  Mode
	}{
		{"one path", []road{fastRoad}, ModeAggregate},
		{"two paths", []road{fastRoad, fastRoad}, ModeAggregate},
		{"two unequal paths", []road{fastRoad, {20e6, 160 * ms, nil}}, ModeAggregate},
		{"failover", []road{fastRoad, fastRoad}, ModeFailover},
		{"redundant", []road{fastRoad, fastRoad}, ModeRedundant},
	} {
		const size = 30 << 20
		n := roads(3, tc.roads...)
		n.a.conn.SetMode(tc.mode)
		n.a.bulk(size)
		n.b.sum = sha256.New()
		n.settle(500 * ms)
		for i := range tc.roads {
			n.kill(i, true)
		}
		sent := 0
		n.a.through = filter(n.a.out, func([]byte) bool { sent++; return false })
		n.run(n.now.Add(60*time.Second), never)
		if sent > 1500 {
			t.Errorf("%s: %d packets into the void", tc.name, sent)
		}
		for i := range tc.roads {
			n.kill(i, false)
		}
		back, got := n.now, n.b.got
		n.run(n.now.Add(5*time.Second), func() bool { return n.b.got > got+100<<10 })
		if took := n.now.Sub(back); took > 450*ms {
			t.Errorf("%s: resumed after %v", tc.name, took)
		} else {
			t.Logf("%s: resumed after %v, %d packets meanwhile", tc.name, took, sent)
		}
		for _, e := range []*end{n.a, n.b} {
			if s := e.conn.Stats().LongestStall; s < 60*time.Second || s > 61*time.Second {
				t.Errorf("%s: the longest stall was %v", tc.name, s)
			}
		}
		n.run(n.now.Add(20*time.Second), func() bool { return n.b.fin && n.a.conn.Sent() })
		n.check(t, tc.name, size)
	}
}

// TestIdleOutage: a connection with nothing to send asks seldom.
func TestIdleOutage(t *testing.T) {
	n := roads(1, fastRoad, fastRoad)
	n.a.bulk(1 << 20)
	n.a.source = nil
	n.settle(time.Second)
	sent := 0
	n.a.through = filter(n.a.out, func([]byte) bool { sent++; return false })
	n.kill(0, true)
	n.kill(1, true)
	n.a.conn.Probe(0)
	n.a.conn.Probe(1)
	n.a.pump()
	n.run(n.now.Add(300*time.Second), never)
	if sent < 20 || sent > 60 {
		t.Errorf("%d packets on one path in five minutes", sent)
	}
	if s := n.a.conn.State(0); s == Active {
		t.Error("the path is still", s)
	}
	n.kill(0, false)
	n.run(n.now.Add(16*time.Second), func() bool { return n.a.conn.State(0) == Active })
	if n.a.conn.State(0) != Active || n.a.conn.State(1) == Active {
		t.Error("after the outage:", n.a.conn.State(0), n.a.conn.State(1))
	}
}

// TestThousandMoves moves the flows of a connection under load, a thousand times
// and at both ends.
func TestThousandMoves(t *testing.T) {
	long(t)
	const size = 60 << 20
	n := roads(5, fastRoad, fastRoad)
	n.a.bulk(size)
	n.b.sum = sha256.New()
	rng := rand.New(rand.NewPCG(9, 9))
	moves := 0
	var move func()
	move = func() {
		i := uint8(rng.IntN(2))
		n.a.conn.Moved(n.now, i, 20*ms, 1472, nil)
		if rng.IntN(2) == 0 {
			n.b.conn.Moved(n.now, i, 20*ms, 1472, nil)
		}
		n.a.pump()
		n.b.pump()
		if moves++; moves < 1000 {
			n.at(n.now.Add(time.Duration(rng.IntN(int(10*ms)))), move)
		}
	}
	n.at(n.now.Add(100*ms), move)
	before := heapInUse()
	n.run(n.now.Add(120*time.Second), func() bool { return n.b.fin && n.a.conn.Sent() && moves == 1000 })
	n.check(t, "moves", size)
	for _, p := range append(n.a.conn.paths, n.b.conn.paths...) {
		if p.state != Active {
			t.Error("a flow is", p.state)
		}
	}
	n.a.buf, n.b.buf, n.b.room = nil, nil, nil
	if grew := int(heapInUse()) - int(before); grew > 4<<20 {
		t.Errorf("%d kB more than before", grew>>10)
	}
	t.Logf("took %v, %s", n.now.Sub(1e9), n.debug())
}

// TestFailback: the better path is used again soon after it is back, once.
func TestFailback(t *testing.T) {
	long(t)
	n := roads(1, fastRoad, road{100e6, 40 * ms, nil})
	n.a.conn.SetMode(ModeFailover)
	n.a.bulk(0)
	on := func() *path { return n.a.conn.standby.on }
	n.settle(500 * ms)
	if on() != n.a.conn.paths[0] {
		t.Fatal("the worse path is used first")
	}
	if sent := n.a.conn.paths[1].f.Stats().BytesSent; sent > 1000 {
		t.Errorf("%d bytes on the other", sent)
	}
	n.kill(0, true)
	n.run(n.now.Add(200*ms), never)
	if on() != n.a.conn.paths[1] {
		t.Fatal("the other path is not used")
	}
	n.kill(0, false)
	restored := n.now
	n.run(n.now.Add(5*time.Second), func() bool { return on() == n.a.conn.paths[0] })
	if took := n.now.Sub(restored); took > 1500*ms || took < 900*ms {
		t.Errorf("back after %v", took)
	}
	// A path that fails for 100 ms in each second is not returned to each time.
	switches, last := 0, on()
	for range 600 {
		n.kill(0, n.now.Sub(restored)%(2500*ms) < 100*ms)
		n.run(n.now.Add(100*ms), never)
		if on() != last {
			switches, last = switches+1, on()
		}
	}
	if switches > 14 {
		t.Errorf("%d switches in a minute", switches)
	}
	t.Logf("%d switches in a minute", switches)
}

// TestFailoverQueue: the queue that the path in use has is no reason to leave it.
func TestFailoverQueue(t *testing.T) {
	n := roads(1, fastRoad, fastRoad)
	n.a.conn.SetMode(ModeFailover)
	n.a.bulk(0)
	n.settle(500 * ms)
	from := n.now
	n.every(2*ms, func() {
		for w := n.fwd[0]; w.wait() < min(30*ms, n.now.Sub(from)/20); {
			w.send(1472, func() {})
		}
	})
	n.settle(4 * time.Second)
	if rtt := n.a.conn.paths[0].f.RTT(); rtt < 40*ms {
		t.Errorf("no queue: %v", rtt)
	}
	if sent := n.a.conn.paths[1].f.Stats().BytesSent; sent > 10000 {
		t.Errorf("%d bytes on the other", sent)
	}
}

// TestShortMessages: what fits the fast path stays on it.
func TestShortMessages(t *testing.T) {
	n := roads(1, road{20e6, 160 * ms, nil}, fastRoad)
	n.settle(100 * ms)
	for _, size := range []int{100, 10 << 10, 100 << 10, 400 << 10} {
		var least time.Duration
		for _, both := range []bool{false, true} {
			n := roads(1, fastRoad)
			if both {
				n = roads(1, road{20e6, 160 * ms, nil}, fastRoad)
			}
			n.a.bulk(size)
			n.run(n.now.Add(5*time.Second), func() bool { return n.b.fin })
			took := n.now.Sub(1e9)
			if !both {
				least = took
			} else if took > least+3*ms {
				t.Errorf("%d bytes took %v, %v on the fast path alone", size, took, least)
			}
			t.Logf("%d bytes, both %v: %v", size, both, took)
		}
	}
}

// TestReader: who only receives notices a dead path by itself.
func TestReader(t *testing.T) {
	n := roads(1, fastRoad, fastRoad)
	n.a.bulk(0)
	n.settle(500 * ms)
	n.kill(0, true)
	at := n.now
	n.run(n.now.Add(time.Second), func() bool { return n.b.conn.State(0) == Suspect })
	if took := n.now.Sub(at); took > 120*ms {
		t.Errorf("noticed after %v", took)
	}
}

// TestCosts: data takes the cheapest flows, and none where it must not.
func TestCosts(t *testing.T) {
	n := roads(1, fastRoad, fastRoad)
	n.a.conn.SetCost(1, 10)
	n.a.bulk(0)
	n.settle(500 * ms)
	sent := func(i int) uint64 { return n.a.conn.paths[i].f.Stats().BytesSent }
	if sent(1) > 10000 {
		t.Errorf("%d bytes on the dear flow", sent(1))
	}
	// The peer says that it cannot receive on the cheap one any more.
	n.b.conn.Advertise(&sal.PathsFrame{Flows: [16]sal.FlowCost{{Index: 0, Cost: sal.NeverCost}, {Index: 9, Cost: 3}, {Index: 200, Cost: 1}}, NFlows: 3})
	n.b.pump()
	n.run(n.now.Add(15*ms), never)
	n.kill(0, true)
	before := sent(0)
	n.settle(500 * ms)
	if n.b.gap > 50*ms || sent(1) < 1<<20 {
		t.Errorf("gap %v, %d bytes on the other", n.b.gap, sent(1))
	}
	if d := sent(0) - before; d > 2000 {
		t.Errorf("%d bytes on a flow that must carry none", d)
	}
	// Costs of never everywhere: nothing leaves, and nothing breaks.
	n.a.conn.SetCost(1, sal.NeverCost)
	n.run(n.now.Add(100*ms), never)
	before = sent(1)
	n.run(n.now.Add(time.Second), never)
	if d := sent(1) - before; d > 2000 {
		t.Errorf("%d bytes on a flow of cost never", d)
	}
	n.a.conn.SetCost(1, 0)
	n.a.pump()
	got := n.b.got
	n.run(n.now.Add(500*ms), never)
	if n.b.got < got+1<<20 {
		t.Error("it does not go on")
	}
}

// TestChaos: paths come, go, move, change cost and mode; bytes stay the same.
func TestChaos(t *testing.T) {
	for seed := range uint64(6) {
		const size = 20 << 20
		n := roads(seed, road{50e6, 20 * ms, func(f, b *wire) { f.loss, b.loss = 0.01, 0.01 }}, road{20e6, 60 * ms, func(f, b *wire) { f.reorder = 0.05 }},
			road{100e6, 10 * ms, func(f, b *wire) { f.dup, f.jitter = 0.02, 2*ms }})
		n.a.bulk(size)
		n.b.sum = sha256.New()
		rng := rand.New(rand.NewPCG(seed, 4))
		calm := false
		var act func()
		act = func() {
			if calm {
				return
			}
			i := rng.IntN(3)
			c := n.a.conn
			if rng.IntN(3) == 0 {
				c = n.b.conn
			}
			switch rng.IntN(9) {
			case 0, 1, 2:
				n.kill(i, rng.IntN(2) == 0)
			case 3:
				c.SetState(n.now, uint8(i), Parked)
			case 4:
				c.SetState(n.now, uint8(i), Active)
			case 5:
				c.Moved(n.now, uint8(i), 0, 1472, nil)
			case 6:
				c.SetMode(Mode(rng.IntN(4)))
			case 7:
				c.SetCost(uint8(i), uint8(rng.IntN(3)*127))
			case 8:
				c.Advertise(&sal.PathsFrame{Mode: uint8(rng.IntN(6)), Flows: [16]sal.FlowCost{{Index: uint8(i), Cost: uint8(rng.IntN(3))}}, NFlows: 1})
			}
			n.a.pump()
			n.b.pump()
			n.at(n.now.Add(time.Duration(rng.IntN(int(100*ms)))), act)
		}
		n.at(n.now.Add(50*ms), act)
		n.run(n.now.Add(20*time.Second), func() bool { return n.b.fin && n.a.conn.Sent() })
		calm = true
		for i := range 3 {
			n.kill(i, false)
			for _, e := range []*end{n.a, n.b} {
				e.conn.SetCost(uint8(i), 0)
				e.conn.SetState(n.now, uint8(i), Active)
				e.pump()
			}
		}
		n.run(n.now.Add(20*time.Second), func() bool { return n.b.fin && n.a.conn.Sent() })
		n.check(t, "chaos", size)
	}
}

// TestRedundantLoss: the second copy of a byte changes nothing.
func TestRedundantLoss(t *testing.T) {
	lossy := road{100e6, 20 * ms, func(f, b *wire) { f.loss, b.loss = 0.02, 0.02 }}
	const size = 30 << 20
	n := roads(2, lossy, lossy)
	n.b.conn.Advertise(&sal.PathsFrame{Mode: uint8(ModeRedundant)}) // the reader's wish
	n.b.pump()
	n.run(n.now.Add(30*ms), never)
	if n.a.conn.Mode() != ModeRedundant {
		t.Fatal("the wish was not heard:", n.a.conn.Mode())
	}
	n.a.bulk(size)
	n.b.sum = sha256.New()
	n.settle(500 * ms)
	n.run(n.now.Add(20*time.Second), func() bool { return n.b.fin && n.a.conn.Sent() })
	n.check(t, "redundant", size)
	took := n.now.Sub(1e9)
	t.Logf("took %v, gap %v, %s", took, n.b.gap, n.debug())
	if s := n.b.conn.Stats().LongestStall; n.b.gap > 40*ms || took > 3200*ms || s > n.b.gap {
		t.Errorf("gap %v, took %v", n.b.gap, took)
	}
}
