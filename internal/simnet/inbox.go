package simnet

import "sync"

// inboxSize is the receive buffer of a socket, in bytes of payload.
const inboxSize = 4 << 20

// inbox is a bounded queue between the network and a socket's reader.
type inbox struct {
	mu     sync.Mutex
	ready  sync.Cond
	queue  []packet // from head
	head   int
	bytes  int
	closed bool
}

// put appends p, and reports whether there was room.
func (in *inbox) put(p packet) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed || in.bytes+p.len > inboxSize {
		return false
	}
	in.queue = append(in.queue, p)
	in.bytes += p.len
	in.ready.Signal()
	return true
}

// take waits for the next packet, joined with those that follow it where they
// were sent as one batch.
func (in *inbox) take() (packet, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.queue) == in.head && !in.closed {
		in.ready.Wait()
	}
	if in.closed {
		for _, p := range in.queue[in.head:] {
			p.buf.release()
		}
		in.queue = nil
		return packet{}, false
	}
	p := in.queue[in.head]
	in.head++
	for in.head < len(in.queue) && p.join(in.queue[in.head]) {
		in.head++
	}
	in.bytes -= p.len
	if in.head == len(in.queue) {
		in.queue, in.head = in.queue[:0], 0
	} else if in.head > 1024 && in.head > len(in.queue)/2 {
		in.queue = in.queue[:copy(in.queue, in.queue[in.head:])]
		in.head = 0
	}
	return p, true
}

func (in *inbox) isClosed() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.closed
}

func (in *inbox) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.ready.Broadcast()
}
