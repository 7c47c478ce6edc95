package netstack

import (
	"io"
	"slices"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// What arrives does not pass through TCP: it comes in order and is admitted by the
// window between the hosts already, so TCP's queue would cost two wake-ups and give
// nothing. TCP learns how the stream ended, since its states are the connection's.

// While many small views wait, further ones are merged, so that a writer of single bytes
// does not fill the memory with views.
const (
	smallView  = 8 << 10
	mergedView = 32 << 10
	manyViews  = 64
)

// receiveState is what arrived for the application.
type receiveState struct {
	queue   []*buffer.View
	unread  int  // bytes in queue, and of what is being read
	merging bool // the last of queue is ours to append to
	fin     bool // DeliverFIN was called
	deaf    bool // the application reads no more: discard
	over    bool // it has closed the connection: TCP answers what arrives with a reset

	seq  uint64   // next sequence number of the virtual peer; its SYN is 0
	pass passSink // what reads the stream, if it can be given to
}

// passSink takes what has just come from the goroutine that received it, or as much of it
// as it does without waiting. It is called with the endpoint's lock.
type passSink interface {
	passThrough(b []byte) int
}

// Deliver hands over the next bytes received, in order. It takes over v, which
// must not be empty and should not exceed MaxSegment bytes. The caller limits
// how much may be unread, by Unread or Link.Consumed. Deliver returns how many
// bytes count as read already, without a call of Consumed: all if the application
// will never read them, or those that a socket took which reads the stream.
func (e *Endpoint) Deliver(v *buffer.View) (read int) {
	n := v.Size()
	e.mu.Lock()
	r := &e.rx
	switch {
	case e.done || r.fin || r.deaf:
		e.mu.Unlock()
		v.Release()
		return n
	case r.over:
		e.segment(v, header.TCPFlagAck, nil)
		r.seq += uint64(n)
		e.mu.Unlock()
		return 0
	case r.unread == 0 && r.pass != nil:
		if read = r.pass.passThrough(v.AsSlice()); read == n {
			e.mu.Unlock()
			v.Release()
			return n
		}
		v.TrimFront(read)
	}
	first := r.unread == 0
	r.push(v)
	e.mu.Unlock()
	if first {
		e.conn.rd.wake()
	}
	return read
}

// DeliverFIN says that the stream received ends here.
func (e *Endpoint) DeliverFIN() {
	e.mu.Lock()
	if e.done || e.rx.fin {
		e.mu.Unlock()
		return
	}
	e.rx.fin = true
	e.segment(nil, header.TCPFlagFin|header.TCPFlagAck, nil)
	e.rx.seq++
	e.mu.Unlock()
	e.conn.rd.wake()
}

// DeliverReset ends the connection at once: Read, after what has arrived, and
// Write return err, which must not be nil.
func (e *Endpoint) DeliverReset(err error) {
	e.mu.Lock()
	if e.done {
		e.mu.Unlock()
		return
	}
	e.conn.fail(err)
	e.segment(nil, header.TCPFlagRst|header.TCPFlagAck, nil)
	e.done = true
	e.mu.Unlock()
	e.conn.rd.wake()
}

// Unread returns the number of bytes delivered that the application has not
// read.
func (e *Endpoint) Unread() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rx.unread
}

// next takes the next view to read, or returns nil if there is none. Whoever reads
// it reports that to consumed.
func (e *Endpoint) next() *buffer.View {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := &e.rx
	if len(r.queue) == 0 {
		return nil
	}
	v := r.queue[0]
	r.queue = dequeue(r.queue, 1)
	r.merging = r.merging && len(r.queue) > 0
	return v
}

// readable returns how much is unread. If nothing is, the error tells why nothing will
// arrive any more; it is nil if something may.
func (e *Endpoint) readable() (int, error) {
	e.mu.Lock()
	n, fin, done := e.rx.unread, e.rx.fin, e.done
	e.mu.Unlock()
	switch {
	case n > 0:
		return n, nil
	case fin:
		return 0, io.EOF
	case done:
		return 0, e.conn.resetError()
	}
	return 0, nil
}

// consumed accounts for n bytes the application read.
func (e *Endpoint) consumed(n int) {
	e.mu.Lock()
	e.rx.unread -= n
	e.mu.Unlock()
	e.link.Consumed(n)
}

// closeRead drops what arrives from now on.
func (e *Endpoint) closeRead() {
	e.mu.Lock()
	e.rx.deaf = true
	e.mu.Unlock()
}

// close has TCP answer what arrives from now on, and drops what is unread. It reports
// whether there was something.
func (e *Endpoint) close() (unread bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rx.over = true
	unread = e.rx.unread > 0
	e.rx.discard()
	return unread
}

// readBy has what arrives go to s when nothing is unread; nil ends that.
func (e *Endpoint) readBy(s passSink) {
	e.mu.Lock()
	e.rx.pass = s
	e.mu.Unlock()
}

// push appends v to the queue, by copying if it and the last are among many small ones.
func (r *receiveState) push(v *buffer.View) {
	n := v.Size()
	r.unread += n
	if n >= smallView || len(r.queue) < manyViews {
		r.queue = append(r.queue, v)
		r.merging = false
		return
	}
	last := r.queue[len(r.queue)-1]
	if !r.merging || last.AvailableSize() < n {
		if last.Size() >= smallView {
			r.queue = append(r.queue, v)
			r.merging = false
			return
		}
		merged := buffer.NewView(mergedView)
		merged.Write(last.AsSlice())
		last.Release()
		r.queue[len(r.queue)-1] = merged
		last, r.merging = merged, true
	}
	last.Write(v.AsSlice())
	v.Release()
}

// discard drops what is in the queue.
func (r *receiveState) discard() {
	for _, v := range r.queue {
		r.unread -= v.Size()
		v.Release()
	}
	r.queue, r.merging = nil, false
}

// dequeue removes the first n elements of a queue. An empty queue keeps only a
// small array.
func dequeue[T any](q []T, n int) []T {
	q = slices.Delete(q, 0, n)
	if len(q) == 0 && cap(q) > 64 {
		return nil
	}
	return q
}
