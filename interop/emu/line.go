package emu

import (
	"bytes"
	"container/heap"
	"math/rand/v2"
	"time"
)

// never is the due time of an empty line.
const never = time.Duration(1<<63 - 1)

// packet is one packet waiting for its verdict. Times are on the monotonic
// clock of whoever drives the line.
type packet struct {
	due  time.Duration
	seq  uint64
	id   uint32
	drop bool
	over bool   // it overtakes: it leaves before packets that came earlier
	copy []byte // to be sent as well; nil for most
}

// line is the pure core of the emulator: packets go in as they arrive and come
// out when they are due. Packets that keep their order, nearly all, wait in a
// queue; the few that overtake wait in a heap.
type line struct {
	cfg       Config
	rng       *rand.Rand
	seq       uint64
	last      time.Duration // due time of the newest packet in order
	order     []packet
	head      int
	overtakes overtakers
}

func newLine(cfg Config) *line {
	return &line{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 1))}
}

// set changes what happens to packets. Those that wait keep their times, and
// those that come after keep their places behind them.
func (l *line) set(cfg Config) { l.cfg = cfg }

// add takes in the packet id, arrived at now, of which payload is all there is,
// if it may have to be duplicated. A lost packet waits like any other, which
// keeps verdicts in the kernel's order and so cheap.
func (l *line) add(now time.Duration, id uint32, payload []byte) {
	p := packet{id: id, seq: l.seq, due: now + l.cfg.Delay}
	l.seq++
	p.drop = l.cfg.Loss > 0 && l.rng.Float64() < l.cfg.Loss
	if len(payload) > 0 && !p.drop && l.cfg.Duplicate > 0 && l.rng.Float64() < l.cfg.Duplicate {
		p.copy = bytes.Clone(payload)
	}
	if l.cfg.Reorder > 0 && l.rng.Float64() < l.cfg.Reorder {
		p.due, p.over = now, true
		heap.Push(&l.overtakes, p)
		return
	}
	if j := int64(l.cfg.Jitter); j > 0 {
		p.due += time.Duration(l.rng.Int64N(2*j+1) - j)
	}
	l.last = max(l.last, p.due)
	p.due = l.last
	l.order = append(l.order, p)
}

// next returns when the next packet is due, or never.
func (l *line) next() time.Duration {
	due := never
	if l.head < len(l.order) {
		due = l.order[l.head].due
	}
	if len(l.overtakes) > 0 {
		due = min(due, l.overtakes[0].due)
	}
	return due
}

// pop removes a packet that is due at now.
func (l *line) pop(now time.Duration) (packet, bool) {
	p, ok := l.take(now)
	p.drop = p.drop || l.cfg.Blackhole
	return p, ok
}

func (l *line) take(now time.Duration) (packet, bool) {
	if len(l.overtakes) > 0 && l.overtakes[0].due <= now {
		return heap.Pop(&l.overtakes).(packet), true
	}
	if l.head == len(l.order) || l.order[l.head].due > now {
		return packet{}, false
	}
	p := l.order[l.head]
	l.head++
	if l.head*2 > len(l.order) && l.head > 1024 || l.head == len(l.order) {
		l.order = l.order[:copy(l.order, l.order[l.head:])]
		l.head = 0
	}
	return p, true
}

// overtakers is a heap by due time, then by arrival.
type overtakers []packet

func (o overtakers) Len() int { return len(o) }
func (o overtakers) Less(i, j int) bool {
	return o[i].due < o[j].due || o[i].due == o[j].due && o[i].seq < o[j].seq
}
func (o overtakers) Swap(i, j int) { o[i], o[j] = o[j], o[i] }
func (o *overtakers) Push(x any)   { *o = append(*o, x.(packet)) }
func (o *overtakers) Pop() any {
	last := len(*o) - 1
	p := (*o)[last]
	*o = (*o)[:last]
	return p
}
