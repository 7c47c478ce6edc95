package flowset

// Data is a run of stream bytes as the application wrote it. It stays
// referenced until the peer has all of it, since repairs are cut from it anew.
type Data interface {
	Len() int
	Bytes(from, n int) []byte
	Release()
}

// Small writes are gathered while earlier ones are still on their way, so that
// a byte of backlog costs about a byte.
const (
	smallWrite = 1 << 10
	gatherSize = 4 << 10
)

// gathered is Data of our own.
type gathered struct{ b []byte }

func (g *gathered) Len() int                 { return len(g.b) }
func (g *gathered) Bytes(from, n int) []byte { return g.b[from : from+n] }
func (g *gathered) Release()                 {}

// sender is the outgoing half of the stream.
type sender struct {
	chunks   []chunk // from the one that holds una
	cursor   int     // index of the chunk that holds next
	una      uint64  // everything below is acknowledged
	next     uint64  // first byte never sent
	end      uint64  // one past the last byte accepted
	limit    uint64  // the peer's window: no byte at or past it may leave
	acked    rangeSet
	lost     rangeSet
	fin      bool // the stream ends at end
	finSent  bool
	finAcked bool
}

type chunk struct {
	off  uint64
	n    int
	data Data
}

func (c *chunk) end() uint64 { return c.off + uint64(c.n) }

func (s *sender) write(d Data) {
	n := d.Len()
	if n <= smallWrite && len(s.chunks) > 0 {
		s.gather(d.Bytes(0, n))
		d.Release()
	} else {
		s.chunks = append(s.chunks, chunk{s.end, n, d})
	}
	s.end += uint64(n)
}

// gather appends a copy of b to the last chunk, or to a new one that has room.
func (s *sender) gather(b []byte) {
	c := &s.chunks[len(s.chunks)-1]
	if g, ok := c.data.(*gathered); ok && len(g.b)+len(b) <= cap(g.b) {
		g.b = append(g.b, b...)
		c.n = len(g.b)
		s.cursor = min(s.cursor, len(s.chunks)-1)
		return
	}
	g := &gathered{b: append(make([]byte, 0, gatherSize), b...)}
	s.chunks = append(s.chunks, chunk{s.end, len(b), g})
}

// backlog is what was accepted and is not acknowledged, in bytes.
func (s *sender) backlog() int { return int(s.end - s.una) }

// ready reports whether any stream byte or the end of stream could leave.
func (s *sender) ready() bool {
	return !s.lost.empty() || s.next < min(s.end, s.limit) || s.finReady()
}

func (s *sender) finReady() bool { return s.fin && !s.finSent && s.next == s.end }

// pick chooses the next run to send, at most n bytes: repairs first.
func (s *sender) pick(n int) (off uint64, size int, repair bool) {
	if !s.lost.empty() {
		l := s.lost.s[0]
		return l.from, int(min(uint64(n), l.to-l.from)), true
	}
	if limit := min(s.end, s.limit); s.next < limit {
		return s.next, int(min(uint64(n), limit-s.next)), false
	}
	return s.next, 0, false
}

// took records that pick's choice was sent.
func (s *sender) took(off uint64, n int, repair bool) {
	if repair {
		s.lost.remove(off, off+uint64(n))
		return
	}
	s.next += uint64(n)
	for s.cursor < len(s.chunks) && s.chunks[s.cursor].end() <= s.next {
		s.cursor++
	}
}

// find returns the index of the chunk that holds off.
func (s *sender) find(off uint64) int {
	if s.cursor < len(s.chunks) && s.chunks[s.cursor].off <= off {
		return s.cursor
	}
	lo, hi := 0, s.cursor
	for lo+1 < hi {
		if mid := (lo + hi) / 2; s.chunks[mid].off <= off {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// bytes returns n stream bytes from off, in place or gathered into scratch,
// which must hold n.
func (s *sender) bytes(off uint64, n int, scratch []byte) []byte {
	if n == 0 {
		return nil
	}
	i := s.find(off)
	c := &s.chunks[i]
	if off+uint64(n) <= c.end() {
		return c.data.Bytes(int(off-c.off), n)
	}
	scratch = scratch[:n]
	for got := 0; got < n; i++ {
		c = &s.chunks[i]
		from := int(off + uint64(got) - c.off)
		take := min(n-got, c.n-from)
		got += copy(scratch[got:], c.data.Bytes(from, take))
	}
	return scratch
}

// onAcked settles [off, off+n).
func (s *sender) onAcked(off uint64, n int) {
	to := off + uint64(n)
	if !s.lost.empty() {
		s.lost.remove(off, to) // a straggler arrived after all
	}
	switch {
	case to <= s.una:
		return
	case off > s.una:
		s.acked.add(off, to)
		return
	}
	s.una = to
	for !s.acked.empty() && s.acked.s[0].from <= s.una {
		s.una = max(s.una, s.acked.s[0].to)
		s.acked.s = s.acked.s[1:]
	}
	s.release()
}

// release lets go of chunks that the peer has whole.
func (s *sender) release() {
	k := 0
	for k < len(s.chunks) && s.chunks[k].end() <= s.una {
		s.chunks[k].data.Release()
		s.chunks[k].data = nil
		k++
	}
	if k == 0 {
		return
	}
	if k == len(s.chunks) {
		s.chunks = s.chunks[:0]
		if cap(s.chunks) > 64 {
			s.chunks = nil // an idle connection holds nothing
		}
	} else {
		s.chunks = s.chunks[k:]
	}
	s.cursor = max(0, s.cursor-k)
}

// onLost queues [off, off+n) for repair, less what is acknowledged by now.
func (s *sender) onLost(off uint64, n int) {
	to := off + uint64(n)
	off = max(off, s.una)
	if off >= to {
		return
	}
	s.lost.add(off, to)
	for _, a := range s.acked.s {
		if a.from >= to {
			break
		}
		s.lost.remove(a.from, a.to)
	}
}

func (s *sender) releaseAll() {
	for i := range s.chunks {
		s.chunks[i].data.Release()
	}
	s.chunks, s.cursor = nil, 0
	s.lost.s, s.acked.s = nil, nil
}
