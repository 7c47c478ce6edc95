package serval

import (
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/internal/handshake"
	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

const (
	// openQueue bounds the SYNs and OPENs that wait for an opener. What does not
	// fit is dropped and will be retransmitted.
	openQueue = 1024
	// maxEarly bounds the packets kept for a connection whose OPEN is still
	// being checked.
	maxEarly = 64
)

// openers are the goroutines that do the asymmetric cryptography of incoming
// connections, so that no established flow waits for it behind a reader.
type openers struct {
	queue chan answer
	wake  chan struct{} // a handshake became half open: tick has a deadline
	quit  chan struct{}
	wg    sync.WaitGroup
}

func (o *openers) start(n *Node) {
	o.queue = make(chan answer, openQueue)
	o.wake = make(chan struct{}, 1)
	o.quit = make(chan struct{})
	for range min(runtime.GOMAXPROCS(0), 8) {
		o.wg.Go(func() {
			for {
				select {
				case a := <-o.queue:
					n.open(&a)
				case <-o.quit:
					return
				}
			}
		})
	}
	o.wg.Go(func() { n.tick(o) })
}

func (o *openers) stop() {
	close(o.quit)
	o.wg.Wait()
}

func (o *openers) put(b *underlay.Batch, pkt []byte) {
	select {
	case o.queue <- copyOf(b, pkt):
	default:
	}
}

func (o *openers) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// halfOpen is a connection between SYN-ACK and OPEN. Packets that overtake the
// OPEN's verification wait here.
type halfOpen struct {
	socket underlay.Socket
	from   netip.AddrPort
	way    *way
	since  time.Time

	listener *Listener
	left     atomic.Bool // the listener no longer counts it

	mu      sync.Mutex
	waiting [][]byte
	link    *link // set when established: no more waiting
}

// leave takes a handshake that is over out of the listener's count.
func (h *halfOpen) leave() {
	if !h.left.Swap(true) {
		h.listener.census.leave()
	}
}

func (h *halfOpen) early(pkt []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link == nil && len(h.waiting) < maxEarly {
		h.waiting = append(h.waiting, append([]byte(nil), pkt...))
	}
}

// open handles one SYN or OPEN.
func (n *Node) open(a *answer) {
	if t, _ := sal.PeekType(a.pkt); t == sal.TypeSYN {
		n.openSYN(a)
	} else {
		n.openThird(a)
	}
}

// openSYN sends the first packet of a connection through the service table and
// answers for the listener it finds.
func (n *Node) openSYN(a *answer) {
	syn, err := sal.ParseSYN(a.pkt)
	if err != nil {
		n.stats.malformed.Add(1)
		if errors.Is(err, sal.ErrVersion) && syn.Flow != 0 {
			n.refuse(a, &syn, sal.Refuse{Code: sal.VersionMismatch})
		}
		return
	}
	l, no := n.demux(a, &syn)
	if l == nil {
		if held, code := n.hold(a, &syn, no.Code); held {
			return
		} else if code != 0 {
			n.refuse(a, &syn, sal.Refuse{Code: code})
		} else if !n.forwardLate(a, &syn) {
			n.refuse(a, &syn, no)
		}
		return
	}
	if !l.census.enter() {
		n.refuse(a, &syn, sal.Refuse{Code: sal.ShuttingDown})
		return
	}
	w := n.wayOf(a, &syn)
	h := &halfOpen{socket: w.socket, from: w.client, way: w, listener: l, since: time.Now()}
	var id sal.FlowID
	reply, opened, err := n.responder.HandleSYN(time.Now(), a.pkt, w.client, handshake.Offer{
		Service: l.name,
		Router:  w.first(),
		Params:  n.params(syn.Datagram),
		NewFlow: func() sal.FlowID {
			id = n.flows.Insert(&entry{half: h})
			return id
		},
	})
	if !opened {
		h.leave()
		if id != 0 {
			n.flows.Delete(id)
		}
	}
	if err != nil {
		if errors.Is(err, handshake.ErrBusy) {
			n.refuse(a, &syn, shed(1))
		}
		return
	}
	if reply != nil {
		w.straight(reply)
		if !opened || w.socket == nil { // else a timer sees to it
			n.through(w, reply, len(a.pkt))
		}
	}
	n.openers.poke()
	n.prepare()
}

// prepare does ahead, while the peer is at work, what the next connection will
// need.
func (n *Node) prepare() {
	n.stack.Prepare()
	handshake.Prepare()
}

// demux looks a first packet's service up: a listener that has room, or why
// there is none.
func (n *Node) demux(a *answer, syn *sal.SYN) (*Listener, sal.Refuse) {
	no := sal.Refuse{Code: sal.NoService}
	for set := range n.services.Matches(syn.Service) {
		for _, r := range set.Rules() {
			switch {
			case r.Action == servicetable.Forward, r.Action == servicetable.Delay && (a.passed || !n.holds(r.Target.rule)):
				continue
			case r.Action == servicetable.Delay:
				return nil, no // see hold
			}
			r.Count(len(a.pkt))
			switch {
			case r.Action == servicetable.Drop:
				return nil, sal.Refuse{Code: sal.NoService}
			case !r.Target.listener.takes(syn.Datagram):
				return nil, sal.Refuse{Code: sal.NoService}
			case r.Target.listener.census.refuses():
				no.Code = sal.ShuttingDown
				continue
			case r.Target.listener.overloaded():
				return nil, shed(r.Target.listener.load())
			}
			return r.Target.listener, sal.Refuse{}
		}
	}
	return nil, no
}

func (n *Node) refuse(a *answer, syn *sal.SYN, no sal.Refuse) {
	n.stats.refused.Add(1)
	no.Flow, no.Echo = syn.Flow, syn.Echo()
	b := no.Append(nil)
	w := n.wayOf(a, syn)
	w.straight(b)
	n.through(w, b, len(a.pkt))
}

// openThird completes a handshake with its third packet, hands what rode along
// or came early to the new connection, and the connection to its listener.
func (n *Node) openThird(a *answer) {
	id, _ := sal.PeekFlow(a.pkt)
	e := n.flows.Lookup(id)
	if e == nil {
		return
	}
	if e.link != nil {
		e.link.openAgain()
		return
	}
	h := e.half
	if h == nil {
		return
	}
	s, rest, err := n.responder.HandleOPEN(time.Now(), a.pkt)
	if s == nil {
		return // forged, late or a duplicate
	}
	defer h.leave() // it is counted as a connection first
	est := &establishment{session: s, from: h.from, socket: h.socket, rtt: h.rtt(), listener: h.listener, inbox: h.listener.inbox()}
	if s.Hearsay || h.way.forwarded && a.from != h.from {
		est.from, est.socket, est.rtt, est.unproven = a.from, a.socket, 0, len(a.pkt)
	}
	l, oops := n.establish(est)
	if oops != nil {
		n.flows.Delete(id)
		return
	}
	if err != nil {
		n.log.Info("refused a peer", "service", s.Service, "peer", h.from, "error", err)
		l.abort(flowset.ResetNotAuthorized, err.Error())
		return
	}
	if !h.listener.offer(l) {
		l.abort(flowset.ResetShutdown, "the instance accepts no more connections now")
		return
	}
	l.welcome(h.established(l), rest)
}

// established ends the wait of early packets and returns them.
func (h *halfOpen) established(l *link) [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.link = l
	early := h.waiting
	h.waiting = nil
	return early
}

// rtt is the time from SYN-ACK to OPEN, if it is believable as a round trip.
func (h *halfOpen) rtt() time.Duration {
	if d := time.Since(h.since); d < 200*time.Millisecond {
		return d
	}
	return 0
}

// tick repeats SYN-ACKs and forgets half-open connections that stay so.
func (n *Node) tick(o *openers) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if at := n.responder.Deadline(); !at.IsZero() {
			timer.Reset(max(time.Until(at), time.Millisecond))
		}
		select {
		case <-timer.C:
			again, gone := n.responder.Timeout(time.Now())
			for _, r := range again {
				if e := n.flows.Lookup(r.Flow); e != nil && e.half != nil && r.Packet != nil {
					if r.Back {
						n.copyThrough(e.half.way, r.Packet)
					} else {
						e.half.way.straight(r.Packet)
					}
				}
			}
			for _, id := range gone {
				if e := n.flows.Lookup(id); e != nil && e.link == nil {
					n.flows.Delete(id)
					if e.half != nil {
						e.half.leave()
					}
				}
			}
		case <-o.wake:
		case <-o.quit:
			return
		}
	}
}
