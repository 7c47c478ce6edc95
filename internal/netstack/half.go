package netstack

import (
	"sync"
	"time"
)

// half is what Read and Write each need to wait: whether TCP has something new
// for them, and a deadline.
type half struct {
	op sync.Mutex // held during a Read or Write: one at a time

	mu      sync.Mutex
	cond    sync.Cond // ready or expired changed
	ready   bool      // woken since clear
	expired bool      // the deadline passed
	epoch   int       // deadlines set so far
	timer   *time.Timer
}

// clear forgets past wake-ups. Calling it before looking at TCP, and wait only
// after, misses none.
func (h *half) clear() {
	h.mu.Lock()
	h.ready = false
	h.mu.Unlock()
}

// wake ends a wait.
func (h *half) wake() {
	h.mu.Lock()
	h.ready = true
	h.mu.Unlock()
	h.cond.Broadcast()
}

// wait returns after wake, or false once the deadline passed.
func (h *half) wait() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for !h.ready && !h.expired {
		h.cond.Wait()
	}
	return !h.expired
}

// timedOut reports whether the deadline passed.
func (h *half) timedOut() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.expired
}

// setDeadline makes waits end at t, or never if t is zero.
func (h *half) setDeadline(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
	h.epoch++
	epoch, left := h.epoch, time.Until(t)
	h.expired = !t.IsZero() && left <= 0
	switch {
	case h.expired:
		h.cond.Broadcast()
	case !t.IsZero():
		h.timer = time.AfterFunc(left, func() { h.expire(epoch) })
	}
}

// stop ends the timer: it would keep a closed connection in memory. Whoever
// still waits is woken by TCP.
func (h *half) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
	}
}

// expire ends waits unless the deadline was replaced meanwhile.
func (h *half) expire(epoch int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.epoch == epoch {
		h.expired = true
		h.cond.Broadcast()
	}
}
