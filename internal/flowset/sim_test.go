package flowset

import (
	"container/heap"
	"crypto/sha256"
	"hash"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/seal"
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
}

// wire is one direction of a path: a drop-tail queue before a link of some
// rate, then delay.
type wire struct {
	w       *world
	rate    float64 // bytes per second, 0 = infinite
	delay   time.Duration
	queue   time.Duration // how long the queue may become, 0 = no limit
	loss    float64
	reorder float64 // share of packets that take 1/4 more delay
	dup     float64
	mtu     int
	rng     *rand.Rand
	free    flow.Time // when the link is idle again
	dropped int
	maxWait time.Duration
}

func (l *wire) send(pkt []byte, deliver func([]byte)) {
	if l.mtu > 0 && len(pkt) > l.mtu {
		return
	}
	if l.loss > 0 && l.rng.Float64() < l.loss {
		return
	}
	at := max(l.free, l.w.now)
	if l.queue > 0 && at.Sub(l.w.now) > l.queue {
		l.dropped++
		return
	}
	l.maxWait = max(l.maxWait, at.Sub(l.w.now))
	if l.rate > 0 {
		at = at.Add(time.Duration(float64(len(pkt)+28) / l.rate * 1e9))
		l.free = at
	}
	at = at.Add(l.delay)
	if l.reorder > 0 && l.rng.Float64() < l.reorder {
		at = at.Add(l.delay / 4)
	}
	l.w.at(at, func() { deliver(pkt) })
	if l.dup > 0 && l.rng.Float64() < l.dup {
		l.w.at(at.Add(l.delay/8), func() { deliver(pkt) })
	}
}

// end is a Conn with a driver on virtual time.
type end struct {
	w       *world
	conn    *Conn
	flow    *flow.Flow
	out     *wire
	peer    *end
	timer   flow.Time
	buf     []byte
	got     int
	sum     hash.Hash
	fin     bool
	read    bool // consume at once
	room    []byte
	source  func() // refills
	dgrams  int
	batched []byte
}

func (e *end) Reserve(n int) []byte {
	if cap(e.room) < n {
		e.room = make([]byte, n)
	}
	return e.room[:n]
}

func (e *end) Commit(n int) {
	e.got += n
	if e.sum != nil {
		e.sum.Write(e.room[:n])
	}
	if e.read {
		e.conn.Consumed(e.w.now, n)
	}
}

func (e *end) FIN()              { e.fin = true }
func (e *end) Datagram(b []byte) { e.dgrams++ }

func (e *end) pump() {
	if e.source != nil {
		e.source()
	}
	for {
		n, seg, _ := e.conn.Transmit(e.w.now, e.buf)
		if n == 0 {
			break
		}
		for b := e.buf[:n]; len(b) > 0; {
			k := min(seg, len(b))
			e.out.send(append([]byte(nil), b[:k]...), e.peer.receive)
			b = b[k:]
		}
	}
	if d := e.conn.Deadline(); d != flow.Never && (e.timer == 0 || d < e.timer) {
		d = max(d, e.w.now+1)
		e.timer = d
		e.w.at(d, func() {
			if e.timer == d {
				e.timer = 0
				e.conn.Timeout(e.w.now)
				e.pump()
			}
		})
	}
}

func (e *end) receive(pkt []byte) {
	_ = e.conn.Receive(e.w.now, e.flow, pkt, e)
	e.pump()
}

type bytesData []byte

func (d bytesData) Len() int                 { return len(d) }
func (d bytesData) Bytes(from, n int) []byte { return d[from : from+n] }
func (d bytesData) Release()                 {}

// pair joins two ends over two wires; mod may change what it likes first.
func pair(seed uint64, rate float64, rtt time.Duration, mod func(fwd, back *wire)) (w *world, a, b *end) {
	w = &world{now: 1e9}
	a, b = newPair(w, seed, rtt)
	mk := func(s uint64) *wire {
		return &wire{w: w, rate: rate, delay: rtt / 2, queue: 50 * time.Millisecond, mtu: 1472, rng: rand.New(rand.NewPCG(seed, s))}
	}
	a.out, b.out = mk(1), mk(2)
	if mod != nil {
		mod(a.out, b.out)
	}
	return w, a, b
}

func newPair(w *world, seed uint64, rtt time.Duration) (a, b *end) {
	mk := func(local, remote byte, rtt time.Duration) *end {
		e := &end{w: w, buf: make([]byte, 65507), read: true}
		e.conn = New(Config{PeerWindow: DefaultWindow})
		e.flow = flow.New(w.now, flow.Config{
			Local: 10, Remote: 10, RTT: rtt, LinkMTU: 1472, Seed: seed + uint64(local),
			Sealer: seal.NewSealer(seal.AES128GCM, [32]byte{local}, 0),
			Opener: seal.NewOpener(seal.AES128GCM, [32]byte{remote}, 0),
		})
		e.conn.AddFlow(e.flow)
		return e
	}
	a, b = mk(1, 2, rtt), mk(2, 1, rtt)
	a.peer, b.peer = b, a
	return a, b
}

// bulk makes e send size bytes (0 = for ever), keeping the queue short.
func (e *end) bulk(size int) {
	chunk := make([]byte, 64<<10)
	rng := rand.New(rand.NewPCG(7, 7))
	sum := sha256.New()
	e.sum = sum
	written := 0
	e.source = func() {
		for (size == 0 || written < size) && e.conn.Stats().Written <= e.conn.Accepted()+256<<10 && e.conn.Accepted() == e.conn.Stats().Written {
			n := len(chunk)
			if size > 0 {
				n = min(n, size-written)
			}
			c := chunk
			if size > 0 {
				c = make([]byte, n)
				for i := 0; i+8 <= n; i += 8 {
					v := rng.Uint64()
					for k := range 8 {
						c[i+k] = byte(v >> (8 * k))
					}
				}
				sum.Write(c)
			}
			e.conn.Write(bytesData(c[:n]))
			written += n
			if written == size {
				e.conn.CloseWrite()
			}
		}
	}
	e.w.at(e.w.now, e.pump)
}

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
		{"short queue", func(f, b *wire) { f.queue = 2 * time.Millisecond }},
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

func TestGoodput(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	for _, tc := range []struct {
		rate float64
		rtt  time.Duration
		loss float64
		want float64 // share of the link
	}{
		{100e6, 20 * time.Millisecond, 0, 0.85},
		{100e6, 20 * time.Millisecond, 0.001, 0.85},
		{100e6, 20 * time.Millisecond, 0.01, 0.85},
		{1e9, 20 * time.Millisecond, 0, 0.85},
		{1e9, 20 * time.Millisecond, 0.001, 0.85},
		{1e9, 20 * time.Millisecond, 0.01, 0.85},
		{1e9, 100 * time.Millisecond, 0, 0.75},
		{1e9, 100 * time.Millisecond, 0.001, 0.75},
		{1e9, 100 * time.Millisecond, 0.01, 0.7},
	} {
		w, a, b := pair(1, tc.rate/8, tc.rtt, func(f, back *wire) { f.loss = tc.loss })
		a.bulk(0)
		w.run(w.now.Add(time.Second), func() bool { return false })
		from, at := b.got, w.now
		a.out.maxWait = 0
		w.run(w.now.Add(4*time.Second), func() bool { return false })
		got := float64(b.got-from) * 8 / w.now.Sub(at).Seconds() / tc.rate
		st := a.flow.Stats()
		t.Logf("%4.0fM %v loss %.1f%%: %.3f of the link, first second %.0f Mbit/s, queue %v, srtt %v min %v lost %d spurious %d timeouts %d cwnd %d rate %.0fM dropped %d", tc.rate/1e6, tc.rtt, tc.loss*100, got,
			float64(from)*8/1e6, a.out.maxWait, st.RTT, st.MinRTT, st.PacketsLost, st.Spurious, st.Timeouts, st.Cwnd, st.Rate*8/1e6, a.out.dropped)
		if got < tc.want {
			t.Errorf("%.0f Mbit/s, %v, loss %v: only %.2f of the link", tc.rate/1e6, tc.rtt, tc.loss, got)
		}
	}
}
