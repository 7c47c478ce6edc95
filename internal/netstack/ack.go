package netstack

import (
	"sort"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// When TCP learns of an Ack. Telling it costs a segment, so small progress waits for
// the flush. The limits keep TCP from ever waiting for one: half its congestion
// window, which here grows by each segment acknowledged, and a part of its window of
// SendBuffer bytes.
const (
	initialWindow = 10 // segments
	maxAckEvery   = 256
	ackFraction   = 4 // of SendBuffer
	ackDelay      = 20 * time.Millisecond
)

// ackState is what the Link accepted of the bytes TCP sent.
type ackState struct {
	acked    uint64 // by Ack
	reported uint64 // what TCP knows of it
	queued   bool   // waiting in the ackFlusher
	told     int32  // segments TCP knows to be acked, up to maxAckEvery

	past uint64 // bytes that went past TCP
	turn uint64 // offset after the last of them

	// small holds the offsets after small writes that are not acked. TCP
	// counts only their bytes against SendBuffer, but each costs it a
	// kilobyte, so their number is limited too.
	small []uint64
}

const (
	smallWrite     = 512 // bytes
	maxSmallWrites = 4096
)

// wrote records that TCP took a write. The caller holds wr.op.
func (e *Endpoint) wrote(n int) {
	if n >= smallWrite {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.noteSmall(n, e.conn.written+e.tx.past)
}

// noteSmall records a write that ends at offset end. The caller holds e.mu.
func (e *Endpoint) noteSmall(n int, end uint64) {
	if n < smallWrite && e.tx.acked < end {
		e.tx.small = append(e.tx.small, end)
	}
}

// writable returns an error after a reset, and otherwise whether there is room: writes
// must wait for small ones to be acked.
func (e *Endpoint) writable() (room bool, err error) {
	e.mu.Lock()
	room, done := len(e.tx.small) < maxSmallWrites, e.done
	e.mu.Unlock()
	if done {
		return false, e.conn.unlessClosed(e.conn.resetError())
	}
	return room, nil
}

// forget drops the small writes that are acked and reports whether a writer may
// be waiting for that.
func (a *ackState) forget() (room bool) {
	before := len(a.small)
	i := sort.Search(before, func(i int) bool { return a.small[i] > a.acked })
	a.small = dequeue(a.small, i)
	return before >= maxSmallWrites/2 && len(a.small) < maxSmallWrites/2
}

// every is how many segments TCP sends until it is told of an Ack.
func (a *ackState) every() int32 { return (initialWindow + a.told) / 2 }

// Ack says that every byte before off, counting the FIN as one, is accepted:
// TCP forgets it and the application may write as much more. It takes effect
// within milliseconds, sooner if much was accepted.
func (e *Endpoint) Ack(off uint64) {
	sent := e.sent.Load()
	off = min(off, sent)
	e.mu.Lock()
	if e.done || off <= e.tx.acked {
		e.mu.Unlock()
		return
	}
	e.tx.acked = off
	room, late := e.tx.forget(), false
	switch {
	case e.tx.reported >= e.last.Load():
		// Nothing of that went through TCP.
	case off-e.tx.reported >= uint64(e.stack.sendBuffer/ackFraction), off == sent && (e.segs.Load() >= e.tx.every() || e.fin.Load()):
		e.segment(nil, header.TCPFlagAck, nil)
	case !e.tx.queued:
		e.tx.queued = true
		late = true
	}
	e.mu.Unlock()
	if room {
		e.conn.wr.wake()
	}
	if late {
		e.stack.acks.add(e)
	}
}

// flushAck tells TCP what it does not know yet.
func (e *Endpoint) flushAck() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tx.queued = false
	if !e.done && e.tx.reported < min(e.tx.acked, e.last.Load()) {
		e.segment(nil, header.TCPFlagAck, nil)
	}
}

// ackFlusher calls flushAck on endpoints, ackDelay after they were added.
type ackFlusher struct {
	mu      sync.Mutex
	waiting []*Endpoint
	spare   []*Endpoint // the array of the last batch, for the next
	timer   *time.Timer
	running sync.WaitGroup
	closed  bool
}

func (f *ackFlusher) add(e *Endpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.waiting = append(f.waiting, e)
	if len(f.waiting) > 1 {
		return
	}
	f.running.Add(1)
	if f.timer == nil {
		f.timer = time.AfterFunc(ackDelay, f.flush)
	} else {
		f.timer.Reset(ackDelay)
	}
}

func (f *ackFlusher) flush() {
	defer f.running.Done()
	f.mu.Lock()
	batch := f.waiting
	f.waiting, f.spare = f.spare[:0], nil
	f.mu.Unlock()
	for _, e := range batch {
		e.flushAck()
	}
	clear(batch)
	f.mu.Lock()
	f.spare = batch[:0]
	f.mu.Unlock()
}

// close drops what waits and waits for a flush under way.
func (f *ackFlusher) close() {
	f.mu.Lock()
	f.closed = true
	f.waiting = nil
	if f.timer != nil && f.timer.Stop() {
		f.running.Done()
	}
	f.mu.Unlock()
	f.running.Wait()
}
