package serval

import "gvisor.dev/gvisor/pkg/buffer"

// maxView is the largest buffer that gVisor pools.
const maxView = 64 << 10

// sink collects what a batch of packets adds to the stream, decrypted in place
// into the views that netstack will hold: implements flowset.DatagramSink.
type sink struct {
	full      []*buffer.View
	cur       *buffer.View
	pos       int
	hint      int // bytes of the batch still to come
	bytes     int // committed
	fin       bool
	datagrams [][]byte
}

// Reserve implements flowset.Sink.
func (s *sink) Reserve(n int) []byte {
	if s.cur != nil && s.pos+n <= s.cur.Size() {
		return s.cur.AsSlice()[s.pos:]
	}
	s.flush()
	if n == 0 {
		return nil
	}
	s.cur = buffer.NewViewSize(max(n, min(maxView, n+s.hint)))
	return s.cur.AsSlice()
}

// Commit implements flowset.Sink.
func (s *sink) Commit(n int) {
	s.pos += n
	s.bytes += n
}

// FIN implements flowset.Sink.
func (s *sink) FIN() { s.fin = true }

// Datagram implements flowset.DatagramSink.
func (s *sink) Datagram(b []byte) { s.datagrams = append(s.datagrams, b) }

// flush closes the current view.
func (s *sink) flush() {
	if s.cur == nil {
		return
	}
	if s.pos == 0 {
		s.cur.Release()
	} else {
		s.cur.CapLength(s.pos)
		s.full = append(s.full, s.cur)
	}
	s.cur, s.pos = nil, 0
}

// reset makes s as good as new. Views were passed on.
func (s *sink) reset() {
	clear(s.full)
	clear(s.datagrams)
	*s = sink{full: s.full[:0], datagrams: s.datagrams[:0]}
}
