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
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		n.mu.Lock()
		wait := time.Hour
		for now := n.now(); len(n.events.heap) > 0; {
			if wait = n.events.heap[0].at - now; wait > 0 {
				break
			}
			wait = time.Hour
			e := heap.Pop(&n.events.heap).(event)
			n.forward(e.p, e.at)
		}
		n.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-n.wake:
		case <-n.quit:
			return
		}
	}
}
