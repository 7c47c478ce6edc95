package flowset

import (
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// tcp is a bulk TCP sender as a competitor: packets of one size, each
// acknowledged on arrival with perfect selective acknowledgements, a loss known
// when three later packets arrived, retransmissions counted as data. What
// matters for sharing a bottleneck, no more.
type tcp struct {
	w        *world
	out      *wire
	back     time.Duration // delay of acknowledgements
	cc       congestion
	sent     map[uint64]*segment
	next     uint64
	lowest   uint64 // below it everything is settled
	inflight int    // packets
	got      int    // bytes delivered

	delivered   int // packets
	deliveredAt flow.Time
	firstSent   flow.Time
	srtt        time.Duration
	timer       uint64
	pacing      bool // a paced send is scheduled
	nextSend    flow.Time
	train       int // packets left of the current train
}

type segment struct {
	sent, deliveredAt, firstSent flow.Time
	delivered                    int
}

// congestion is the algorithm: windows in packets, rates in packets a second.
type congestion interface {
	window() float64
	pace() float64 // 0 = not paced
	acked(now flow.Time, a tcpAck)
	lost(now flow.Time, pn, next uint64, n, inflight int)
	timeout()
}

type tcpAck struct {
	pn, next         uint64
	rtt              time.Duration
	rate             float64
	prior, delivered int
	inflight         int
}

const tcpSize = 1472 // UDP payload of equal weight: 1500 bytes on the link

func newTCP(w *world, out *wire, rtt time.Duration, cc congestion) *tcp {
	return &tcp{w: w, out: out, back: rtt - out.delay, cc: cc, sent: map[uint64]*segment{}}
}

func (t *tcp) start() { t.w.at(t.w.now, t.send) }

func (t *tcp) send() {
	defer t.arm()
	for float64(t.inflight) < t.cc.window() {
		if r := t.cc.pace(); r > 0 {
			if t.train == 0 && t.w.now < t.nextSend {
				if !t.pacing {
					t.pacing = true
					t.w.at(t.nextSend, func() { t.pacing = false; t.send() })
				}
				return
			}
			if t.train == 0 { // trains of a millisecond, as segmentation offload makes them
				t.train = int(min(max(r*0.001, 2), 43))
				t.nextSend = max(t.nextSend, t.w.now-1e6).Add(time.Duration(1e9 * float64(t.train) / r))
			}
			t.train--
		}
		if t.inflight == 0 {
			t.firstSent, t.deliveredAt = t.w.now, t.w.now
		}
		pn := t.next
		t.next++
		t.sent[pn] = &segment{t.w.now, t.deliveredAt, t.firstSent, t.delivered}
		t.inflight++
		t.out.send(tcpSize, func() {
			t.got += tcpSize
			t.w.at(t.w.now.Add(t.back), func() { t.ack(pn) })
		})
	}
}

// arm restarts the retransmission timer.
func (t *tcp) arm() {
	t.timer++
	id := t.timer
	t.w.at(t.w.now.Add(max(200*time.Millisecond, 2*t.srtt)), func() {
		if id != t.timer || t.inflight == 0 {
			return
		}
		clear(t.sent)
		t.inflight, t.lowest = 0, t.next
		t.cc.timeout()
		t.send()
	})
}

func (t *tcp) ack(pn uint64) {
	s := t.sent[pn]
	if s == nil {
		return
	}
	delete(t.sent, pn)
	t.inflight--
	t.delivered++
	a := tcpAck{pn: pn, next: t.next, rtt: t.w.now.Sub(s.sent), prior: s.delivered, delivered: t.delivered}
	elapsed := max(s.sent.Sub(s.firstSent), t.w.now.Sub(s.deliveredAt))
	t.deliveredAt, t.firstSent = t.w.now, s.sent
	if elapsed > 0 {
		a.rate = float64(t.delivered-s.delivered) / elapsed.Seconds()
	}
	t.srtt += (a.rtt - t.srtt) / 8
	n := 0
	for ; t.lowest+3 <= pn; t.lowest++ {
		if t.sent[t.lowest] != nil {
			delete(t.sent, t.lowest)
			t.inflight--
			n++
			t.cc.lost(t.w.now, t.lowest, t.next, 1, t.inflight)
		}
	}
	a.inflight = t.inflight
	t.cc.acked(t.w.now, a)
	t.send()
}
