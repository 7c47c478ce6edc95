package flowset

// Sink takes received stream bytes in order. Reserve returns room for at least
// n bytes at the end of what was committed, valid until the next call.
type Sink interface {
	Reserve(n int) []byte
	Commit(n int)
	FIN()
}

// receiver is the incoming half of the stream.
type receiver struct {
	next     uint64 // first byte not yet handed to the sink
	pieces   pieces
	fin      bool   // the end is known
	end      uint64 // where
	finished bool   // and was handed over
	window   window
}

// fits reports whether a run may be taken: within the window we granted and
// consistent with the end of the stream.
func (r *receiver) fits(off uint64, n int, fin bool) error {
	to := off + uint64(n)
	if to > r.window.edge {
		return errBeyondWindow
	}
	if r.fin && (to > r.end || fin && to != r.end) {
		return errBeyondFIN
	}
	if fin && (to < r.next || to < r.pieces.end()) {
		return errBeyondFIN
	}
	return nil
}

// room reports whether another piece may wait. Its bytes fit, since pieces are
// disjoint and within the window.
func (r *receiver) room() bool { return r.pieces.len() < maxPieces }

// deliver copies a run that starts at or before next to the sink.
func (r *receiver) deliver(off uint64, b []byte, to Sink) {
	if skip := r.next - off; skip < uint64(len(b)) {
		b = b[skip:]
		for len(b) > 0 {
			n := copy(to.Reserve(len(b)), b)
			to.Commit(n)
			b = b[n:]
			r.next += uint64(n)
		}
	}
}

// settle hands over everything that is now in order.
func (r *receiver) settle(to Sink) {
	for {
		p, ok := r.pieces.pop(r.next)
		if !ok {
			break
		}
		r.deliver(p.off, p.b, to)
		free(p.buf)
	}
	if r.fin && !r.finished && r.next == r.end {
		r.finished = true
		to.FIN()
	}
}
