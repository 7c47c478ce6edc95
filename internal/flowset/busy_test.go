package flowset

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// busy is a machine with other things to do: it wakes up late, and what arrived
// meanwhile comes in one go.
type busy struct {
	rng   *rand.Rand
	late  time.Duration // timers and readers are up to so much late
	until flow.Time     // asleep altogether
	inbox []arrived
}

type arrived struct {
	i   uint8
	pkt []byte
}

// awake is when something is done that is due at t.
func (b *busy) awake(t flow.Time) flow.Time {
	if b == nil {
		return t
	}
	return max(t.Add(time.Duration(b.rng.Int64N(int64(b.late)+1))), b.until)
}

func (b *busy) receive(e *end, i uint8, pkt []byte) {
	b.inbox = append(b.inbox, arrived{i, pkt})
	if len(b.inbox) > 1 {
		return
	}
	var read func()
	read = func() {
		if e.w.now < b.until {
			e.w.at(b.until, read)
			return
		}
		for _, a := range b.inbox {
			_ = e.conn.Receive(e.w.now, e.conn.Flow(a.i), a.pkt, e)
		}
		b.inbox = b.inbox[:0]
		e.pump()
	}
	e.w.at(e.w.now.Add(time.Duration(b.rng.Int64N(int64(b.late/4)+1))), read)
}

// crowd puts both ends on busy machines, timers up to late late; every now and
// then one is asleep for up to nap.
func (n *net) crowd(seed uint64, late, nap time.Duration) {
	for k, e := range []*end{n.a, n.b} {
		b := &busy{rng: rand.New(rand.NewPCG(seed, uint64(k))), late: late}
		e.busy = b
		if nap == 0 {
			continue
		}
		var sleep func()
		sleep = func() {
			b.until = n.now.Add(time.Duration(b.rng.Int64N(int64(nap))))
			n.at(b.until.Add(time.Duration(b.rng.Int64N(int64(400*time.Millisecond)))), sleep)
		}
		n.at(n.now.Add(time.Duration(b.rng.Int64N(int64(400*time.Millisecond)))), sleep)
	}
}

// bucketRoad is a link behind a token bucket.
var bucketRoad = road{100e6, 20 * time.Millisecond, func(f, b *wire) { f.burst, b.burst = 4*time.Millisecond, 4*time.Millisecond }}

// TestStandingQueue: a busy machine and a token bucket make rates seem higher
// than they are. That must not fill the queue.
func TestStandingQueue(t *testing.T) {
	long(t)
	for _, rs := range [][]road{{bucketRoad}, {bucketRoad, bucketRoad}} {
		for seed := range uint64(3) {
			n := roads(seed*11+1, rs...)
			n.crowd(seed, 2*ms, 0)
			n.a.bulk(0)
			n.settle(time.Second)
			for _, w := range n.fwd {
				w.resetStats()
			}
			got := n.goodput(4 * time.Second)
			t.Logf("%d paths: %.1f Mbit/s, queue %v %s", len(rs), got/1e6, n.fwd[0].meanWait(), n.debug())
			if got < 96e6*float64(len(rs)) || n.fwd[0].meanWait() > 7*ms {
				t.Errorf("%d paths: %.1f Mbit/s, queue %v", len(rs), got/1e6, n.fwd[0].meanWait())
			}
		}
	}
}

// TestSlowWriter: who had little to send for some time does not forget what the
// paths carry.
func TestSlowWriter(t *testing.T) {
	long(t)
	for _, rate := range []float64{2e6, 10e6, 110e6} {
		n := roads(1, bucketRoad, bucketRoad)
		n.crowd(1, 3*ms, 0)
		n.a.bulk(0)
		n.settle(time.Second)
		bulk, from, written := n.a.source, n.now, 0.0
		chunk := make([]byte, 64<<10)
		n.a.source = func() {
			for n.now.Sub(from).Seconds()*rate/8 > written {
				n.a.conn.Write(bytesData(chunk))
				written += float64(len(chunk))
			}
		}
		n.every(3*ms, n.a.pump)
		n.settle(4 * time.Second)
		n.a.source = bulk
		n.settle(200 * ms)
		if got := n.goodput(500 * ms); got < 185e6 {
			t.Errorf("after %.0f Mbit/s: %.1f Mbit/s", rate/1e6, got/1e6)
		}
	}
}

// busyBulk is bulk in full swing over two links between busy machines.
func busyBulk(seed uint64, mode Mode) *net {
	n := roads(seed*11+1, bucketRoad, bucketRoad)
	n.a.conn.SetMode(mode)
	n.crowd(seed, 4*ms, 0)
	n.a.bulk(0)
	n.settle(1000*ms + time.Duration(seed*37)*ms)
	return n
}

// TestRedundantBusy: on busy machines, too, the flows keep together.
func TestRedundantBusy(t *testing.T) {
	long(t)
	for seed := range uint64(10) {
		n := busyBulk(seed, ModeRedundant)
		n.kill(int(seed%2), true)
		n.run(n.now.Add(400*ms), never)
		if n.b.gap > 10*ms {
			t.Errorf("seed %d: a gap of %v", seed, n.b.gap)
		}
	}
}

// TestLinkGone: what was in flight on a link that is gone leaves again at once,
// whatever the other flow has in flight.
func TestLinkGone(t *testing.T) {
	long(t)
	for _, mode := range []Mode{ModeAggregate, ModeFailover} {
		for seed := range uint64(10) {
			n := busyBulk(seed, mode)
			n.kill(0, true)
			n.at(n.now.Add(4*ms), func() {
				n.a.conn.SetState(n.now, 0, Parked)
				n.a.pump()
			})
			n.run(n.now.Add(400*ms), never)
			if n.b.gap > 45*ms {
				t.Errorf("%v, seed %d: a gap of %v", mode, seed, n.b.gap)
			}
		}
	}
}
