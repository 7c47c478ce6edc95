package tun

import (
	"maps"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// minBuffer is what one TCP connection may hold in each direction at least, in bytes.
const minBuffer = 32 << 10

// timeWait is how long a port of a client is kept after its connection has ended. On a
// TUN nothing comes late, and clients use their ports again.
var timeWait = tcpip.TCPTimeWaitTimeoutOption(time.Second)

// bufferSize is how many bytes one more connection may hold in each direction.
func (s *Stack) bufferSize() int {
	return min(max(s.cfg.Memory/(4*max(s.streams.len(), 1)), minBuffer), s.cfg.MaxBuffer)
}

// streams is the set of connections that are open.
type streams struct {
	mu       sync.Mutex
	open     map[*stream]struct{}
	reserved int // places taken, also by those that will be open
	closed   bool
}

// reserve takes a place, and returns false if all max are taken.
func (t *streams) reserve(max int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reserved >= max {
		return false
	}
	t.reserved++
	return true
}

// taken is how many places are taken.
func (t *streams) taken() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reserved
}

// release gives a place back.
func (t *streams) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reserved--
}

func (t *streams) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// add returns false if no more streams are wanted.
func (t *streams) add(st *stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	if t.open == nil {
		t.open = make(map[*stream]struct{})
	}
	t.open[st] = struct{}{}
	return true
}

func (t *streams) remove(st *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, st)
}

// abort resets all streams and lets no more be added.
func (t *streams) abort() {
	t.mu.Lock()
	t.closed = true
	open := slices.Collect(maps.Keys(t.open))
	t.mu.Unlock()
	for _, st := range open {
		st.Abort()
	}
}
