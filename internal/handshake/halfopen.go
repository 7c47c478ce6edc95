package handshake

import (
	"container/heap"
	"crypto/sha256"
	"net/netip"
	"time"

	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/pkg/sal"
)

const (
	halfOpenLife = 5 * time.Second        // from SYN to OPEN
	firstRetry   = 250 * time.Millisecond // of the SYN-ACK; doubles each time
	maxRetries   = 3

	// copyAfter is how long the OPEN of a dialler behind routers has to come
	// before a copy of the SYN-ACK goes through them too.
	copyAfter = 10 * time.Millisecond
)

// synKey tells SYNs apart.
type synKey struct {
	from netip.AddrPort
	id   [sha256.Size]byte
}

// half is a connection between SYN and OPEN. The table's owner guards what is
// below the blank line, the rest does not change once ready has been called.
type half struct {
	key         synKey
	flow        sal.FlowID
	service     sal.Name // the listener's
	params      Params   // of this end
	peerFlow    sal.FlowID
	peerService sal.ServiceID
	peerParams  Params
	suite       seal.Suite
	e           keypair
	state       symmetric // after message 2
	created     time.Time
	router      netip.AddrPort // see Offer.Router
	ticket      [8]byte        // in the SYN-ACK that went straight to the dialler

	packet   []byte // the SYN-ACK; nil while it is being made
	busy     bool   // an OPEN is being worked out
	proved   bool   // a cookie showed that the dialler is at its address
	received int    // bytes of SYNs
	sent     int    // bytes of SYN-ACKs
	copied   bool   // through the routers
	next     time.Time
	retries  int
	index    int // in the table's heap
}

// spend returns the SYN-ACK, or nil if it may not be sent: before an address has
// proved itself, all answers to it together stay within the limit.
func (h *half) spend() []byte {
	if !h.afford(len(h.packet)) {
		return nil
	}
	return h.packet
}

func (h *half) afford(n int) bool {
	if h.sent+n > sal.AmplificationLimit*h.received && !h.proved {
		return false
	}
	h.sent += n
	return true
}

// again returns what to send after a timer: the SYN-ACK, or nil. A forwarded SYN
// is first answered once more through the routers. Nothing else is repeated to an
// address that nobody but them vouches for: the dialler repeats its SYN.
func (h *half) again() (pkt []byte, back bool) {
	switch {
	case !h.router.IsValid():
		return h.spend(), false
	case !h.copied && h.afford(len(h.packet)+sal.MaxBack):
		return h.packet, true
	case h.proved:
		return h.spend(), false
	}
	return nil, false
}

// table holds the half-open connections, bounded, and fair to the networks that
// SYNs come from.
type table struct {
	limit   int // of bySYN
	bySYN   map[synKey]*half
	byFlow  map[sal.FlowID]*half
	sources map[netip.Prefix]int // how many of bySYN each network has
	timers  timers
	gone    []sal.FlowID // expired or evicted, to be reported by Timeout
}

func newTable(limit int) table {
	return table{
		limit:   limit,
		bySYN:   make(map[synKey]*half),
		byFlow:  make(map[sal.FlowID]*half),
		sources: make(map[netip.Prefix]int),
	}
}

// again looks for a SYN that was seen before, of which n more bytes came in, and
// returns its SYN-ACK, nil while that is being made.
func (t *table) again(key synKey, n int) (reply []byte, known bool) {
	h := t.bySYN[key]
	if h == nil {
		return nil, false
	}
	h.received += n
	return h.spend(), true
}

// admit enters h, which is new. In a full table it takes the place of the oldest
// entry of the network that has most, unless that is h's own: then it reports
// false.
func (t *table) admit(h *half) bool {
	if len(t.bySYN) >= t.limit && !t.evictFor(network(h.key.from)) {
		return false
	}
	t.bySYN[h.key] = h
	t.sources[network(h.key.from)]++
	h.next = h.created.Add(halfOpenLife)
	heap.Push(&t.timers, h)
	return true
}

// ready makes h answer: it has a flow and a SYN-ACK, which is on its way.
func (t *table) ready(h *half, flow sal.FlowID, packet []byte, now time.Time) error {
	if t.bySYN[h.key] != h || t.byFlow[flow] != nil {
		return ErrBusy // it had to make room already
	}
	h.packet = packet
	if h.spend() == nil {
		return ErrForged // the SYN is too short for what it asks for
	}
	h.flow = flow
	t.byFlow[flow] = h
	if h.router.IsValid() {
		t.schedule(h, now.Add(copyAfter))
	} else {
		t.schedule(h, now.Add(firstRetry))
	}
	return nil
}

func (t *table) evictFor(newcomer netip.Prefix) bool {
	var worst netip.Prefix
	most := 0
	for p, n := range t.sources {
		if n > most {
			worst, most = p, n
		}
	}
	if t.sources[newcomer]+1 >= most {
		return false
	}
	var victim *half
	for _, h := range t.bySYN {
		if network(h.key.from) == worst && !h.busy && (victim == nil || h.created.Before(victim.created)) {
			victim = h
		}
	}
	if victim == nil {
		return false
	}
	t.drop(victim)
	return true
}

// drop removes h and remembers to report it.
func (t *table) drop(h *half) {
	t.remove(h)
	if h.packet != nil {
		t.gone = append(t.gone, h.flow)
	}
}

func (t *table) remove(h *half) {
	if t.bySYN[h.key] != h {
		return
	}
	delete(t.bySYN, h.key)
	if h.packet != nil {
		delete(t.byFlow, h.flow)
	}
	heap.Remove(&t.timers, h.index)
	n := network(h.key.from)
	if t.sources[n]--; t.sources[n] == 0 {
		delete(t.sources, n)
	}
}

// schedule sets when h is looked at next, at the latest when it expires.
func (t *table) schedule(h *half, next time.Time) {
	if end := h.created.Add(halfOpenLife); next.After(end) || h.retries >= maxRetries {
		next = end
	}
	h.next = next
	heap.Fix(&t.timers, h.index)
}

// network is what one party easily has many addresses of.
func network(a netip.AddrPort) netip.Prefix {
	bits := 24
	if ip := a.Addr().Unmap(); ip.Is6() {
		bits = 48
	}
	p, _ := a.Addr().Unmap().Prefix(bits) // the zero Prefix for no address
	return p
}

// Resend is a SYN-ACK to be sent again: it, or the OPEN, may have been lost.
type Resend struct {
	Flow   sal.FlowID // this end's
	To     netip.AddrPort
	Packet []byte
	Back   bool // through the routers that the SYN came through; without its extensions
}

// Deadline returns when Timeout has something to do, the zero time if never. It
// changes with each HandleSYN and HandleOPEN.
func (r *Responder) Deadline() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.table.gone) > 0:
		return time.Unix(0, 0) // at once
	case len(r.table.timers) > 0:
		return r.table.timers[0].next
	}
	return time.Time{}
}

// Timeout returns the SYN-ACKs to send again (250, 750 and 1750 ms after the
// first; of a forwarded SYN 10 ms after it, through the routers) and the flow IDs
// whose handshakes were given up, after 5 s or to make room in a full table, for
// the caller's flow table.
func (r *Responder) Timeout(now time.Time) (again []Resend, gone []sal.FlowID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &r.table
	for len(t.timers) > 0 && !t.timers[0].next.After(now) {
		h := t.timers[0]
		if now.Sub(h.created) >= halfOpenLife {
			t.drop(h)
			continue
		}
		pkt, back := h.again()
		if pkt != nil {
			again = append(again, Resend{Flow: h.flow, To: h.key.from, Packet: pkt, Back: back})
		}
		if h.router.IsValid() && !h.copied {
			h.copied = true
			t.schedule(h, h.created.Add(firstRetry))
			continue
		}
		h.retries++
		t.schedule(h, now.Add(firstRetry<<h.retries))
	}
	gone, t.gone = t.gone, nil
	return again, gone
}

// timers is a heap of half-open connections, the next due first.
type timers []*half

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].next.Before(t[j].next) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

func (t *timers) Push(x any) {
	h := x.(*half)
	h.index = len(*t)
	*t = append(*t, h)
}

func (t *timers) Pop() any {
	old := *t
	h := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	return h
}
