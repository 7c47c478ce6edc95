package tun

import (
	"container/list"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Datagrams that wait to be sent on: so many of one flow, and so many bytes of all. More
// get lost.
const (
	maxWaiting      = 64
	maxWaitingBytes = 32 << 20
)

// flowKey names a datagram flow: one port of a client, and an address.
type flowKey struct {
	src netip.AddrPort
	dst netip.Addr
}

// flow is a client's exchange with one address. Its sender goroutine opens it and
// sends what the client sends; its receiver goroutine sends back what comes.
type flow struct {
	key     flowKey
	waiting chan datagram
	ended   chan struct{} // closed by end
	once    sync.Once

	element *list.Element // in flows.order, under flows.mu
	used    time.Time     // likewise
}

// datagram is one for a port. packet is as much of its IP packet as ICMP quotes.
type datagram struct {
	payload []byte
	packet  []byte
	port    uint16
}

func (f *flow) end() { f.once.Do(func() { close(f.ended) }) }

// flows is the set of datagram flows.
type flows struct {
	waiting atomic.Int64 // bytes

	mu   sync.Mutex
	open map[flowKey]*flow
	of   map[netip.Addr]*list.List // each client's, the longest silent first
}

func (t *flows) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// get returns the flow of key. A new one takes the place of another if there are limit
// already.
func (t *flows) get(key flowKey, limit int) (f *flow, fresh bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.open[key]; f != nil {
		t.touchLocked(f)
		return f, false
	}
	if t.open == nil {
		t.open, t.of = make(map[flowKey]*flow), make(map[netip.Addr]*list.List)
	}
	if len(t.open) >= limit {
		victim := t.victim(key.src.Addr())
		t.removeLocked(victim)
		victim.end()
	}
	f = &flow{key: key, waiting: make(chan datagram, maxWaiting), ended: make(chan struct{}), used: time.Now()}
	mine := t.of[key.src.Addr()]
	if mine == nil {
		mine = new(list.List)
		t.of[key.src.Addr()] = mine
	}
	f.element = mine.PushBack(f)
	t.open[key] = f
	return f, true
}

// victim is the flow that gives way to one of client: the longest silent of its own if
// it has its share, else of who has most.
func (t *flows) victim(client netip.Addr) *flow {
	most := t.of[client]
	if most == nil || most.Len()*len(t.of) < len(t.open) {
		for _, l := range t.of {
			if most == nil || l.Len() > most.Len() {
				most = l
			}
		}
	}
	return most.Front().Value.(*flow)
}

// touch notes that f was used.
func (t *flows) touch(f *flow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.touchLocked(f)
}

func (t *flows) touchLocked(f *flow) {
	f.used = time.Now()
	if f.element != nil {
		t.of[f.key.src.Addr()].MoveToBack(f.element)
	}
}

// idle returns how long f was silent.
func (t *flows) idle(f *flow) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(f.used)
}

// remove takes f out: nothing is queued for it any more.
func (t *flows) remove(f *flow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeLocked(f)
}

func (t *flows) removeLocked(f *flow) {
	if f.element == nil {
		return
	}
	mine := t.of[f.key.src.Addr()]
	mine.Remove(f.element)
	if mine.Len() == 0 {
		delete(t.of, f.key.src.Addr())
	}
	f.element = nil
	delete(t.open, f.key)
}

// queue lets d wait in f, or loses it.
func (t *flows) queue(f *flow, d datagram) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.element == nil || t.waiting.Load() > maxWaitingBytes {
		return
	}
	select {
	case f.waiting <- d:
		t.waiting.Add(int64(cap(d.packet)))
	default:
	}
}

// taken says that d waits no more.
func (t *flows) taken(d datagram) { t.waiting.Add(-int64(cap(d.packet))) }

// left takes what waits in a flow that was removed.
func (t *flows) left(f *flow) (datagram, bool) {
	select {
	case d := <-f.waiting:
		t.taken(d)
		return d, true
	default:
		return datagram{}, false
	}
}

// discard removes f with what waits in it.
func (t *flows) discard(f *flow) {
	t.remove(f)
	for _, ok := t.left(f); ok; {
		_, ok = t.left(f)
	}
}
