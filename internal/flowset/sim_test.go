package flowset

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// world is a virtual clock and its events.
type world struct {
	now    flow.Time
	events eventHeap
	seq    uint64
}

type event struct {
	at  flow.Time
	seq uint64
	do  func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	e := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return e
}

func (w *world) at(t flow.Time, do func()) {
	w.seq++
	heap.Push(&w.events, event{max(t, w.now), w.seq, do})
}

// run works off events until t or until done says so.
func (w *world) run(t flow.Time, done func() bool) {
	for len(w.events) > 0 && w.events[0].at <= t && !done() {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	if !done() {
		w.now = t
	}
}

// never runs a simulation to its end.
func never() bool { return false }

// long marks a simulation of many packets.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() || raceEnabled {
		t.Skip("a long simulation")
	}
}

// wire is one direction of a path: a drop-tail queue before a link of some
// rate, then delay. Several senders may share one.
type wire struct {
	w       *world
	rate    float64 // bytes per second, 0 = infinite
	delay   time.Duration
	queue   float64 // bytes that may wait, 0 = no limit
	loss    float64
	reorder float64       // share of packets that take 1/4 more delay
	jitter  time.Duration // each packet takes up to this much more or less
	inOrder bool          // jitter does not reorder
	lump    time.Duration // packets come out only at multiples of this
	police  float64       // bytes per second that a policer with a bucket of 50 ms lets pass
	dup     float64
	mtu     int
	dead    bool // nothing passes
	rng     *rand.Rand
	free    flow.Time // when the link is idle again
	last    flow.Time // latest arrival, for inOrder
	bucket  float64
	filled  flow.Time
	burst   time.Duration // what a token bucket saves up while the link is idle

	dropped int
	maxWait time.Duration
	sumWait time.Duration
	sent    int
}

// wait is how long a packet sent now would queue.
func (l *wire) wait() time.Duration { return max(0, l.free.Sub(l.w.now)) }

// resetStats starts a new measurement.
func (l *wire) resetStats() { l.dropped, l.maxWait, l.sumWait, l.sent = 0, 0, 0, 0 }

func (l *wire) meanWait() time.Duration { return l.sumWait / time.Duration(max(1, l.sent)) }

// send puts a packet of size bytes (UDP payload) on the wire.
func (l *wire) send(size int, deliver func()) {
	size += 28
	if l.dead {
		return
	}
	if l.mtu > 0 && size > l.mtu+28 || l.loss > 0 && l.rng.Float64() < l.loss || !l.conforms(size) {
		return
	}
	wait := l.wait()
	if l.queue > 0 && wait.Seconds()*l.rate+float64(size) > l.queue {
		l.dropped++
		return
	}
	l.maxWait = max(l.maxWait, wait)
	l.sumWait += wait
	l.sent++
	at := l.w.now
	if l.rate > 0 {
		l.free = max(l.free, at.Add(-l.burst)).Add(time.Duration(float64(size) / l.rate * 1e9))
		at = max(at, l.free)
	}
	at = at.Add(l.delay)
	if l.reorder > 0 && l.rng.Float64() < l.reorder {
		at = at.Add(l.delay / 4)
	}
	if l.jitter > 0 {
		at = at.Add(time.Duration((2*l.rng.Float64() - 1) * float64(l.jitter)))
		if l.inOrder {
			at = max(at, l.last)
			l.last = at
		}
	}
	if l.lump > 0 {
		at = (at + flow.Time(l.lump) - 1) / flow.Time(l.lump) * flow.Time(l.lump)
	}
	l.w.at(at, deliver)
	if l.dup > 0 && l.rng.Float64() < l.dup {
		l.w.at(at.Add(l.delay/8), deliver)
	}
}

func (l *wire) conforms(size int) bool {
	if l.police == 0 {
		return true
	}
	l.bucket = min(l.bucket+l.w.now.Sub(l.filled).Seconds()*l.police, l.police*0.05)
	l.filled = l.w.now
	if l.bucket < float64(size) {
		return false
	}
	l.bucket -= float64(size)
	return true
}

// newWire returns a wire with a queue of 50 ms.
func (w *world) newWire(seed uint64, rate float64, delay time.Duration) *wire {
	return &wire{w: w, rate: rate, delay: delay, queue: rate * 0.05, mtu: 1472, rng: rand.New(rand.NewPCG(seed, 1))}
}
