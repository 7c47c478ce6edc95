package tun

import (
	"maps"
	"math/bits"
	"net/netip"
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

// synRetries is how often a SYN is answered again, over 15 seconds in all, by who does
// not complete the connection.
var synRetries = tcpip.TCPSynRetriesOption(3)

// streams is the set of connections that are open.
type streams struct {
	mu       sync.Mutex
	open     map[*stream]struct{}
	reserved int                // places taken, also by those that will be open
	of       map[netip.Addr]int // likewise, of each client
	closed   bool

	resizing sync.Mutex // held while buffers are made larger or smaller
	size     int        // of each buffer; under resizing
}

// reserve takes a place for a client. It returns false if all max are taken, or the
// client has three quarters of them.
func (t *streams) reserve(client netip.Addr, max int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reserved >= max || t.of[client] >= (3*max+3)/4 {
		return false
	}
	if t.of == nil {
		t.of = make(map[netip.Addr]int)
	}
	t.reserved++
	t.of[client]++
	return true
}

// taken is how many places are taken.
func (t *streams) taken() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reserved
}

// release gives a place back.
func (t *streams) release(client netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reserved--
	if t.of[client]--; t.of[client] == 0 {
		delete(t.of, client)
	}
}

func (t *streams) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// add returns false if no more streams are wanted.
func (t *streams) add(st *stream) bool {
	t.resizing.Lock()
	defer t.resizing.Unlock()
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return false
	}
	if t.open == nil {
		t.open = make(map[*stream]struct{})
	}
	t.open[st] = struct{}{}
	t.mu.Unlock()
	st.resize(t.size)
	return true
}

func (t *streams) remove(st *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, st)
}

// share lets each stream hold its share of memory, at most max bytes in each direction.
// What they may hold is changed in large steps only.
func (t *streams) share(memory, max int) {
	t.resizing.Lock()
	defer t.resizing.Unlock()
	t.mu.Lock()
	// One half is for each direction. What is received may be twice as much: half of it
	// is what TCP keeps back for its own use.
	want := min(memory/(4*(len(t.open)+1)), max)
	if want = 1 << (bits.Len(uint(want)) - 1); want < minBuffer {
		want = minBuffer
	}
	var open []*stream
	if want != t.size {
		open = slices.Collect(maps.Keys(t.open))
	}
	t.size = want
	t.mu.Unlock()
	for _, st := range open {
		st.resize(want)
	}
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
