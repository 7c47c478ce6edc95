package flowset

import (
	"bytes"
	"sort"
	"sync"
)

// maxPieces bounds how many packets may wait out of order, whatever their size.
const maxPieces = 1 << 16

// piece is a run of the stream that arrived ahead of its turn.
type piece struct {
	off uint64
	b   []byte
	buf *[]byte // pooled, holds b; nil if b is a copy
}

func (p *piece) end() uint64 { return p.off + uint64(len(p.b)) }

// pieces are what waits for its turn: ordered, disjoint. With several flows most
// packets do, so they stay in the pooled buffers they were decrypted into. The
// zero value is empty.
type pieces struct {
	s    []piece
	head int // of s, before it are those that had their turn
	held int // bytes
}

func (q *pieces) len() int { return len(q.s) - q.head }

// end is where the last piece ends, 0 if there is none.
func (q *pieces) end() uint64 {
	if q.len() == 0 {
		return 0
	}
	return q.s[len(q.s)-1].end()
}

// add keeps what is new of a run. It reports whether it kept buf, which holds b.
func (q *pieces) add(off uint64, b []byte, buf *[]byte) (kept bool) {
	q.compact()
	i := len(q.s)
	if q.len() > 0 && q.s[i-1].end() > off {
		i = q.head + sort.Search(q.len(), func(k int) bool { return q.s[q.head+k].end() > off })
	}
	for ; i < len(q.s) && len(b) > 0 && q.s[i].off < off+uint64(len(b)); i++ {
		next := &q.s[i]
		if next.off > off {
			q.insert(i, piece{off: off, b: bytes.Clone(b[:next.off-off])})
			i++
			next = &q.s[i]
		}
		skip := min(next.end()-off, uint64(len(b)))
		off, b = off+skip, b[skip:]
	}
	if len(b) == 0 {
		return false
	}
	if buf != nil && len(b) < cap(*buf)/2 { // a small part of it
		b, buf = bytes.Clone(b), nil
	}
	q.insert(i, piece{off, b, buf})
	return buf != nil
}

// compact makes room at the end of s rather than let it grow.
func (q *pieces) compact() {
	if len(q.s) == cap(q.s) && q.head > len(q.s)/2 {
		n := copy(q.s, q.s[q.head:])
		clear(q.s[n:])
		q.s, q.head = q.s[:n], 0
	}
}

func (q *pieces) insert(i int, p piece) {
	q.s = append(q.s, piece{})
	copy(q.s[i+1:], q.s[i:])
	q.s[i] = p
	q.held += len(p.b)
}

// pop takes the first piece out if it begins at or before off. Its bytes are
// valid until free.
func (q *pieces) pop(off uint64) (p piece, ok bool) {
	if q.len() == 0 || q.s[q.head].off > off {
		return p, false
	}
	p, q.s[q.head] = q.s[q.head], piece{}
	q.held -= len(p.b)
	if q.head++; q.head == len(q.s) {
		if q.s, q.head = q.s[:0], 0; cap(q.s) > 256 {
			q.s = nil // an idle connection holds little
		}
	}
	return p, true
}

// drop lets go of everything.
func (q *pieces) drop() {
	for _, p := range q.s {
		free(p.buf)
	}
	*q = pieces{}
}

// smallPacket is what packets of most paths fit in.
const smallPacket = 1536

var small = sync.Pool{New: func() any { b := make([]byte, 0, smallPacket); return &b }}

// room returns a buffer for a packet of n bytes.
func room(n int) *[]byte {
	if n <= smallPacket {
		return small.Get().(*[]byte)
	}
	b := make([]byte, 0, n)
	return &b
}

// free gives a buffer back; nil is none.
func free(b *[]byte) {
	if b != nil && cap(*b) == smallPacket {
		small.Put(b)
	}
}
