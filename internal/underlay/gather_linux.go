package underlay

import (
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A small datagram costs the kernel as much as a large one, and many connections between
// two hosts send many. When datagrams follow each other closely, they gather until the
// goroutines that are ready have run: those of one size to one place then leave in one
// call, and arrive in one. A datagram that comes alone leaves at once.
const (
	gatherMost = 1200 // bytes of a datagram: larger ones mostly are trains of their own
	gatherRoom = 32 << 10
	closely    = 25 * time.Microsecond
	afterError = 100 * time.Millisecond // in which every sender is told of errors itself
)

// gather is where the small datagrams of a socket wait.
type gather struct {
	some atomic.Bool   // something waits
	wake chan struct{} // for the goroutine that sends it

	mu   sync.Mutex
	on   bool // that was woken
	last time.Duration
	bad  time.Duration // no gathering until then
	wait *waiting
}

// waiting is datagrams as they lie in buf.
type waiting struct {
	buf  []byte
	runs []run
}

// run is datagrams of one size to one place, but for the last, which may be shorter.
type run struct {
	to   netip.AddrPort
	seg  int
	size int  // of all
	full bool // the last is shorter
}

var waitings = sync.Pool{New: func() any { return &waiting{buf: make([]byte, 0, gatherRoom)} }}

// Gather implements Gatherer.
func (s *socket) Gather(b []byte, to netip.AddrPort) error {
	if len(b) == 0 || len(b) > gatherMost || s.closing.Load() || !s.gather.put(b, to) {
		return s.Send(b, len(b), to)
	}
	return nil
}

// put keeps a datagram, and reports whether it did.
func (g *gather) put(b []byte, to netip.AddrPort) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.on {
		now := clock()
		apart := now - g.last
		g.last = now
		if apart > closely || now < g.bad {
			return false
		}
	}
	if g.wait == nil {
		g.wait = waitings.Get().(*waiting)
	}
	if !g.wait.add(b, to) {
		return false
	}
	g.some.Store(true)
	if !g.on {
		g.on = true
		g.wake <- struct{}{} // has room: the last one was taken before on was false
	}
	return true
}

// add appends a datagram, if there is room.
func (w *waiting) add(b []byte, to netip.AddrPort) bool {
	if len(w.buf)+len(b) > cap(w.buf) {
		return false
	}
	w.buf = append(w.buf, b...)
	if n := len(w.runs); n > 0 {
		if r := &w.runs[n-1]; !r.full && r.to == to && len(b) <= r.seg && r.size < maxSegments*r.seg {
			r.size += len(b)
			r.full = len(b) < r.seg
			return true
		}
	}
	w.runs = append(w.runs, run{to: to, seg: len(b), size: len(b)})
	return true
}

// take returns what waits, nil for nothing. With off, the next datagram is again the
// first.
func (g *gather) take(off bool) *waiting {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.wait
	g.wait = nil
	g.some.Store(false)
	if off {
		g.on = false
		g.last = clock()
	}
	return w
}

// runGather sends what has gathered until the socket is closed.
func (s *socket) runGather() {
	for {
		select {
		case <-s.gather.wake:
		case <-s.done:
			return
		}
		runtime.Gosched()
		s.sendWaiting(s.gather.take(true))
	}
}

// flush sends what has gathered now.
func (s *socket) flush() {
	if s.gather.some.Load() {
		s.sendWaiting(s.gather.take(false))
	}
}

func (s *socket) sendWaiting(w *waiting) {
	if w == nil {
		return
	}
	rest := w.buf
	for _, r := range w.runs {
		if s.sendNow(rest[:r.size], r.seg, r.to) != nil {
			s.gather.mu.Lock()
			s.gather.bad = clock() + afterError
			s.gather.mu.Unlock()
		}
		rest = rest[r.size:]
	}
	w.buf, w.runs = w.buf[:0], w.runs[:0]
	waitings.Put(w)
}
