package simnet

import (
	"container/heap"
	"time"
)

// event is a packet that reaches its next stage at a time.
type event struct {
	at  time.Duration
	seq uint64 // breaks ties in order of creation
	p   packet
}

type events struct {
	heap eventHeap
	seq  uint64
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*h = old[:len(old)-1]
	return e
}

// schedule lets p go on at a time. The caller holds n.mu.
func (n *Network) schedule(at time.Duration, p packet) {
	n.events.seq++
	heap.Push(&n.events.heap, event{at, n.events.seq, p})
	if n.events.heap[0].seq == n.events.seq {
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
}

// run moves packets on when their time has come.
func (n *Network) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait, more := n.advance()
		due := timer.C
		if more {
			timer.Reset(wait)
		} else {
			due = nil // an idle network has no timer to keep a synctest bubble going
		}
		select {
		case <-due:
		case <-n.wake:
		case <-n.quit:
			return
		}
	}
}

// advance handles all events that are due and returns the time to the next,
// if there is one.
func (n *Network) advance() (wait time.Duration, more bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	for len(n.events.heap) > 0 {
		if wait = n.events.heap[0].at - now; wait > 0 {
			return wait, true
		}
		e := heap.Pop(&n.events.heap).(event)
		n.forward(e.p, e.at)
	}
	return 0, false
}
