package netstack

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// TCP charges every segment it holds with several hundred bytes beside its
// payload, drops a segment when the charge exceeds its receive buffer, and also
// when its advertised window, half of what is free, is zero. A dropped byte would
// be lost for good, so admission is decided here. Unread in TCP are at most
//
//   - readAhead bytes, and the segment that passes the limit;
//   - smallSegments segments of any size since the reader last caught up, and
//     then only such of which any two in a row hold smallView bytes.
//
// Charges included, that is under a quarter of the receive buffer (see
// receiveBufferFactor), so TCP never drops. What is not admitted waits in
// pending, small views merged into large ones.
const (
	smallSegments = 64
	smallView     = 8 << 10
	mergedView    = 32 << 10
)

// receiveState is what arrived for the application.
type receiveState struct {
	seq     uint64 // next sequence number of the virtual peer; its SYN is 0
	unread  int    // bytes injected but not read
	segs    int    // segments injected since unread was last 0
	pending []*buffer.View
	waiting int  // bytes in pending
	merging bool // the last of pending is ours to append to
	fin     bool // DeliverFIN was called
	finSent bool // and TCP knows
	closed  bool // the application reads no more: discard
}

// Deliver hands over the next bytes received, in order. It takes over v, which
// must not be empty and should not exceed MaxSegment bytes. The caller limits
// how much may be unread, by Unread or Link.Consumed. Deliver returns false if
// the application will never read the bytes: they count as read at once, without
// a call of Consumed.
func (e *Endpoint) Deliver(v *buffer.View) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := &e.rx
	if e.done || r.fin || r.closed {
		v.Release()
		return false
	}
	idle := len(r.pending) == 0
	for v.Size() > MaxSegment {
		head := v.Clone()
		head.CapLength(MaxSegment)
		v.TrimFront(MaxSegment)
		r.push(head)
	}
	r.push(v)
	if idle {
		e.pump()
	}
	return true
}

// DeliverFIN says that the stream received ends here.
func (e *Endpoint) DeliverFIN() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.done {
		return
	}
	e.rx.fin = true
	e.pump()
}

// DeliverReset ends the connection at once: Read, after what TCP holds, and
// Write return err, which must not be nil.
func (e *Endpoint) DeliverReset(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.done {
		return
	}
	e.conn.fail(err)
	e.segment(nil, header.TCPFlagRst|header.TCPFlagAck, nil)
	e.finish()
}

// Unread returns the number of bytes delivered that the application has not
// read.
func (e *Endpoint) Unread() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rx.unread + e.rx.waiting
}

// consumed accounts for n bytes the application read.
func (e *Endpoint) consumed(n int) {
	e.mu.Lock()
	r := &e.rx
	r.unread -= n
	if r.unread == 0 {
		r.segs = 0
	}
	// Refill in large steps: each may wake one of TCP's goroutines.
	if !e.done && r.unread <= e.stack.readAhead/2 {
		e.pump()
	}
	e.mu.Unlock()
	e.link.Consumed(n)
}

// held reports whether bytes wait that TCP does not know of.
func (e *Endpoint) held() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rx.waiting > 0
}

// readEnded reports whether the stream received ended as it should, or the
// application said it reads no more.
func (e *Endpoint) readEnded() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rx.finSent || e.rx.closed
}

// closeRead drops what is unread and, from now on, what arrives.
func (e *Endpoint) closeRead() {
	e.mu.Lock()
	dropped := e.rx.waiting
	e.rx.closed = true
	e.rx.discard()
	e.pump()
	e.mu.Unlock()
	if dropped > 0 {
		e.link.Consumed(dropped)
	}
}

// pump injects what may be injected. The caller holds e.mu.
func (e *Endpoint) pump() {
	r := &e.rx
	i := 0
	for ; i < len(r.pending) && r.admit(i, e.stack.readAhead); i++ {
		v := r.pending[i]
		n := v.Size()
		r.waiting -= n
		e.segment(v, header.TCPFlagAck, nil)
		r.seq += uint64(n)
		r.unread += n
		r.segs++
	}
	r.pending = dequeue(r.pending, i)
	r.merging = r.merging && len(r.pending) > 0
	if r.fin && !r.finSent && len(r.pending) == 0 {
		r.finSent = true
		e.segment(nil, header.TCPFlagFin|header.TCPFlagAck, nil)
		r.seq++
	}
}

// admit reports whether pending[i] may be injected. A small view that could
// still grow is kept back once many small ones are unread.
func (r *receiveState) admit(i, readAhead int) bool {
	if r.unread >= readAhead {
		return false
	}
	return r.segs < smallSegments || r.unread == 0 || r.fin || i < len(r.pending)-1 ||
		r.pending[i].Size() >= smallView
}

// push appends v to pending, by copying if it and the last are small.
func (r *receiveState) push(v *buffer.View) {
	n := v.Size()
	r.waiting += n
	if n >= smallView || len(r.pending) == 0 {
		r.pending = append(r.pending, v)
		r.merging = false
		return
	}
	last := r.pending[len(r.pending)-1]
	if !r.merging || last.AvailableSize() < n {
		if last.Size() >= smallView {
			r.pending = append(r.pending, v)
			r.merging = false
			return
		}
		merged := buffer.NewView(mergedView)
		merged.Write(last.AsSlice())
		last.Release()
		r.pending[len(r.pending)-1] = merged
		last, r.merging = merged, true
	}
	last.Write(v.AsSlice())
	v.Release()
}

// discard drops what was not injected.
func (r *receiveState) discard() {
	for _, v := range r.pending {
		v.Release()
	}
	r.pending, r.waiting, r.merging = nil, 0, false
}
