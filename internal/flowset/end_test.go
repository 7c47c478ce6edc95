package flowset

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"math/rand/v2"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/seal"
)

// end is a Conn with a driver on virtual time.
type end struct {
	w       *world
	conn    *Conn
	flow    *flow.Flow
	out     *wire
	through func(size int, pkt []byte, deliver func()) // to out, unless a test intervenes
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

	busy  *busy     // the machine it runs on; nil for one with nothing else to do
	spins int       // timers set
	spun  flow.Time // since about then
	more  []*wire   // the paths of the flows after the first
	last  flow.Time // when bytes were handed over last
	gap   time.Duration
}

func (e *end) Reserve(n int) []byte {
	if cap(e.room) < n {
		e.room = make([]byte, n)
	}
	return e.room[:n]
}

func (e *end) Commit(n int) {
	e.got += n
	if e.last > 0 {
		e.gap = max(e.gap, e.w.now.Sub(e.last))
	}
	e.last = e.w.now
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
		n, seg, f := e.conn.Transmit(e.w.now, e.buf)
		if n == 0 {
			break
		}
		for b := e.buf[:n]; len(b) > 0; {
			k := min(seg, len(b))
			pkt := append([]byte(nil), b[:k]...)
			b = b[k:]
			if i := f.Index; i > 0 {
				e.more[i-1].send(k, func() { e.peer.receiveOn(i, pkt) })
			} else {
				e.through(k, pkt, func() { e.peer.receive(pkt) })
			}
		}
	}
	if d := e.conn.Deadline(); d != flow.Never && (e.timer == 0 || d < e.timer) {
		d = max(d, e.w.now+1)
		e.timer = d
		if e.spins++; e.w.now > e.spun+flow.Time(time.Millisecond) {
			e.spins, e.spun = 0, e.w.now
		} else if e.spins > 2000 {
			panic("the timer spins: " + e.why() + (&net{world: e.w, a: e, b: e.peer}).debug())
		}
		e.w.at(e.busy.awake(d), func() {
			if e.timer == d {
				e.timer = 0
				e.conn.Timeout(e.w.now)
				e.pump()
			}
		})
	}
}

func (e *end) receive(pkt []byte) { e.receiveOn(0, pkt) }

func (e *end) receiveOn(i uint8, pkt []byte) {
	if e.busy != nil {
		e.busy.receive(e, i, pkt)
		return
	}
	_ = e.conn.Receive(e.w.now, e.conn.Flow(i), pkt, e)
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
	a.out, b.out = w.newWire(seed, rate, rtt/2), w.newWire(seed+1, rate, rtt/2)
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
		e.conn.AddFlow(e.flow, Active)
		e.through = func(size int, _ []byte, deliver func()) { e.out.send(size, deliver) }
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

// debug describes the flow's model in a line.
func (e *end) debug() string {
	s := e.flow.Stats()
	return fmt.Sprintf("%s rate %.1f cwnd %d inflight %d rtt %.1f min %.1f lost %d spurious %d timeouts %d", s.Mode, s.Rate*8/1e6,
		s.Cwnd, s.InFlight, s.RTT.Seconds()*1e3, s.MinRTT.Seconds()*1e3, s.PacketsLost, s.Spurious, s.Timeouts)
}

// why tells what the next deadline is for.
func (e *end) why() string {
	s := ""
	for i, p := range e.conn.paths {
		s += fmt.Sprintf(" [%d %v pending %v ping %v bulk %d quiet %d acks %d loss %d pace %d]", i, p.state, p.pending, p.ping, p.bulk,
			e.conn.quietAt(p)-e.w.now, p.f.Deadline(false, true)-e.w.now, p.f.Deadline(false, false)-e.w.now, p.f.Deadline(true, false)-e.w.now)
	}
	return s
}
