package netstack

import (
	"slices"
	"sort"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// When TCP learns of an Ack. Telling it costs a segment, so small progress waits
// for a segment that carries it for nothing, or for the flush. The limits keep
// TCP from ever waiting for one: its congestion window, which starts at ten
// segments and here only grows, and its window of SendBuffer bytes.
const (
	ackSegments = 5
	ackFraction = 4 // of SendBuffer
	ackDelay    = 5 * time.Millisecond
)

// ackState is what the Link accepted of the bytes TCP sent.
type ackState struct {
	acked    uint64 // by Ack
	reported uint64 // what TCP knows of it
	queued   bool   // waiting in the ackFlusher

	// small holds the offsets after small writes that are not acked. TCP
	// counts only their bytes against SendBuffer, but each costs it a
	// kilobyte, so their number is limited too.
	small []uint64
}

const (
	smallWrite     = 512 // bytes
	maxSmallWrites = 4096
)

// wrote records a write that ends at offset end.
func (e *Endpoint) wrote(n int, end uint64) {
	if n >= smallWrite {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tx.acked < end {
		e.tx.small = append(e.tx.small, end)
	}
}

// crowded reports whether writes must wait for small ones to be acked.
func (e *Endpoint) crowded() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.tx.small) >= maxSmallWrites && !e.done
}

// forget drops the small writes that are acked and reports whether a writer may
// be waiting for that.
func (a *ackState) forget() (room bool) {
	before := len(a.small)
	i := sort.Search(before, func(i int) bool { return a.small[i] > a.acked })
	a.small = dequeue(a.small, i)
	return before >= maxSmallWrites/2 && len(a.small) < maxSmallWrites/2
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
	case off-e.tx.reported >= uint64(e.stack.sendBuffer/ackFraction), off == sent && (e.segs.Load() >= ackSegments || e.fin.Load()):
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
	if !e.done && e.tx.reported < e.tx.acked {
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
