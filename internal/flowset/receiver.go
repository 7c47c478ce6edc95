package flowset

import (
	"bytes"
	"sort"
)

// Sink takes received stream bytes in order. Reserve returns room for at least
// n bytes at the end of what was committed, valid until the next call.
type Sink interface {
	Reserve(n int) []byte
	Commit(n int)
	FIN()
}

// maxPieces bounds how many packets may wait out of order, whatever their size.
const maxPieces = 1 << 16

// receiver is the incoming half of the stream.
type receiver struct {
	next     uint64 // first byte not yet handed to the sink
	pieces   []piece
	held     int    // bytes in pieces
	fin      bool   // the end is known
	end      uint64 // where
	finished bool   // and was handed over
	window   window
}

// piece is a run that arrived ahead of its turn.
type piece struct {
	off uint64
	b   []byte
}

func (p *piece) end() uint64 { return p.off + uint64(len(p.b)) }

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
	if fin && (to < r.next || len(r.pieces) > 0 && to < r.pieces[len(r.pieces)-1].end()) {
		return errBeyondFIN
	}
	return nil
}

// room reports whether another piece of n bytes may wait. Pieces of an honest
// peer do not overlap, so that together they fit the window.
func (r *receiver) room(n int) bool {
	return len(r.pieces) < maxPieces && uint64(r.held+n) <= r.window.edge-r.next
}

// hold keeps a run that is ahead of its turn; b is kept unless it is a small
// part of the size bytes that were allocated for it.
func (r *receiver) hold(off uint64, b []byte, size int) {
	if len(b) == 0 {
		return
	}
	if len(b) < size/2 {
		b = bytes.Clone(b)
	}
	i := len(r.pieces)
	if i > 0 && r.pieces[i-1].off >= off {
		i = sort.Search(i, func(k int) bool { return r.pieces[k].off >= off })
	}
	if i < len(r.pieces) && r.pieces[i].off == off && len(r.pieces[i].b) >= len(b) {
		return
	}
	r.pieces = append(r.pieces, piece{})
	copy(r.pieces[i+1:], r.pieces[i:])
	r.pieces[i] = piece{off, b}
	r.held += len(b)
}

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
	k := 0
	for k < len(r.pieces) && r.pieces[k].off <= r.next {
		r.held -= len(r.pieces[k].b)
		r.deliver(r.pieces[k].off, r.pieces[k].b, to)
		r.pieces[k].b = nil
		k++
	}
	if k > 0 {
		if r.pieces = r.pieces[k:]; len(r.pieces) == 0 {
			r.pieces = nil
		}
	}
	if r.fin && !r.finished && r.next == r.end {
		r.finished = true
		to.FIN()
	}
}
