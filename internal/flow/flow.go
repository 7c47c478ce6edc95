package flow

import (
	"cmp"
	"errors"
	"time"

	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/pkg/sal"
)

// Owner learns what became of the packets it sent.
type Owner interface {
	PacketAcked(f *Flow, r Record)
	PacketLost(f *Flow, r Record)
}

// Config is what a new flow starts from.
type Config struct {
	Index         uint8 // position in the connection's flow set
	Local, Remote sal.FlowID
	Sealer        *seal.Sealer
	Opener        *seal.Opener
	RTT           time.Duration // sample from the handshake, 0 if none
	LinkMTU       int           // UDP payload that the local interface carries, 0 if unknown
	Seed          uint64        // randomises probing; any value
	Route         *Route        // shared by the flows to one host; nil for one of its own
}

// Flow is one path of a connection: <interface address, flowID> on both sides.
type Flow struct {
	Index         uint8
	Local, Remote sal.FlowID
	Sealer        *seal.Sealer
	Opener        *seal.Opener

	// Helped says that other flows can carry what is outstanding here: silence
	// is reported sooner, and answered by asking for a sign of life instead of
	// repeating data. Idle says that the connection has nothing outstanding,
	// so that long silence need not be probed often. Its owner sets both.
	Helped, Idle bool

	rtt   rtt
	log   sentLog
	acks  acker
	pace  pacer
	model model
	mtu   mtu
	loss  lossState

	topAcked    uint64 // highest packet number acknowledged
	inflight    int
	delivered   uint64
	deliveredAt Time
	firstSent   Time
	lostBytes   uint64
	settled     uint64 // bytes acknowledged or lost
	slow        slowness
	appUntil    uint64 // delivered count up to which samples are application-limited
	lastSent    Time   // last ack-eliciting packet
	probed      Time   // last probe timeout
	lastHeard   Time
	progress    Time // last acknowledgement of anything new
	sampled     Time // last measurement of the round trip
	resumed     Time // last time the flow was taken into use again
	excused     bool // a late timer was not taken for silence
	held        bool // the window held sending back since the last AckWish
	told        int  // bytes in the last ACK_EVERY, 0 if none was sent or it was lost
	stats       Stats
}

// Stats counts what a flow did; bytes are UDP payload.
type Stats struct {
	PacketsSent, PacketsReceived, PacketsLost uint64
	BytesSent, BytesReceived, BytesLost       uint64
	Spurious, Timeouts, Duplicates            uint64
	RTT, MinRTT                               time.Duration
	Cwnd, InFlight, MTU                       int
	Rate                                      float64 // bytes per second
	Mode                                      string
}

// ErrAckUnsent is a peer that acknowledges what was never sent.
var ErrAckUnsent = errors.New("the peer acknowledged a packet that was never sent")

// New returns a flow that may send at once.
func New(now Time, c Config) *Flow {
	f := &Flow{Index: c.Index, Local: c.Local, Remote: c.Remote, Sealer: c.Sealer, Opener: c.Opener}
	f.log.base, f.log.next = 1, 1 // packet number 0 is never used
	f.begin(now, c.RTT, c.LinkMTU, c.Route, c.Seed)
	return f
}

// begin starts from nothing that was learnt of a path.
func (f *Flow) begin(now Time, rtt time.Duration, linkMTU int, route *Route, seed uint64) {
	f.mtu.init(linkMTU)
	f.rtt.reset(rtt)
	if route == nil {
		route = new(Route)
	}
	f.model.init(now, f.mtu.current, rtt, seed, route)
	f.pace = pacer{}
	f.loss = lossState{}
	f.loss.init()
	f.slow = slowness{since: now, settled: f.settled}
	f.told, f.held, f.appUntil = 0, false, 0
	f.lastHeard, f.progress, f.resumed = now, now, now
}

// MTU is the size of a full packet: UDP payload bytes.
func (f *Flow) MTU() int { return f.mtu.current }

// RTT is the smoothed round-trip time.
func (f *Flow) RTT() time.Duration { return f.rtt.srtt() }

// LastHeard is when the last authenticated packet arrived.
func (f *Flow) LastHeard() Time { return f.lastHeard }

// MinRTT is the least round-trip time of the last ten seconds: the path's own,
// without what its queue adds. Before the first sample it is RTT.
func (f *Flow) MinRTT() time.Duration { return cmp.Or(f.model.minRTT, f.rtt.srtt()) }

// InFlight is how many bytes wait for acknowledgement.
func (f *Flow) InFlight() int { return f.inflight }

// Stats returns a snapshot.
func (f *Flow) Stats() Stats {
	s := f.stats
	s.RTT, s.MinRTT = f.rtt.smoothed, f.model.minRTT
	s.Cwnd, s.InFlight, s.MTU = f.model.cwnd(), f.inflight, f.mtu.current
	s.Rate, s.Mode = f.model.bandwidth(), f.model.mode.String()
	return s
}

// Received reports whether the packet number arrived before: a replay.
func (f *Flow) Received(pn uint64) bool {
	if f.acks.rx.has(pn) {
		f.stats.Duplicates++
		return true
	}
	return false
}

// LargestReceived is what truncated packet numbers are decoded against.
func (f *Flow) LargestReceived() uint64 {
	pn, _ := f.acks.rx.largest()
	return pn
}

// OnReceived records an authenticated packet of size bytes.
func (f *Flow) OnReceived(now Time, pn uint64, size int, eliciting bool) {
	f.lastHeard = now
	f.stats.PacketsReceived++
	f.stats.BytesReceived += uint64(size)
	f.acks.arrived(now, pn, size, eliciting)
}

// WantsAck reports whether an acknowledgement should leave now even if there
// is nothing for it to ride on.
func (f *Flow) WantsAck(now Time) bool { return f.acks.wants(now) }

// OwesAck reports whether there is anything to acknowledge.
func (f *Flow) OwesAck() bool { return f.acks.owed }

// AckNow makes what is owed leave at the next opportunity.
func (f *Flow) AckNow() { f.acks.now, f.acks.owed = true, true }

// AppendAck appends an ACK frame for all that arrived.
func (f *Flow) AppendAck(b []byte, now Time) []byte { return f.acks.append(b, now, f.Index) }

// Budget returns how many bytes may leave now under pacing and window: 0, or
// at least one full packet.
func (f *Flow) Budget(now Time) int {
	room := f.model.cwnd() - f.inflight
	if f.loss.probes > 0 {
		return max(room, f.loss.probes*f.mtu.current)
	}
	if room < f.mtu.current && f.inflight > 0 {
		f.held = true
		return 0
	}
	f.pace.refill(now, f.model.pacingRate())
	if f.pace.tokens <= 0 {
		return 0
	}
	return max(min(room, int(f.pace.tokens)), f.mtu.current)
}

// Urge lets n bytes, at most a quarter of the window, leave in spite of window
// and pacing: what another path took along holds up all that came after it.
func (f *Flow) Urge(n int) {
	f.loss.probes = max(f.loss.probes, min(n, f.model.cwnd()/4)/f.mtu.current)
}

// Rate is how many bytes per second the path is believed to carry now.
func (f *Flow) Rate() float64 {
	if f.slow.rate > 0 {
		return f.slow.rate
	}
	if f.model.mode == startup {
		return f.model.bandwidth() * startupGain / 2
	}
	return f.model.bandwidth()
}

// Delay estimates how long a byte takes that is handed to the flow now: half a
// round trip, after what pacing and window make it wait.
func (f *Flow) Delay() time.Duration {
	d := f.rtt.srtt() / 2
	rate := f.Rate()
	if f.slow.rate > 0 {
		return max(d, Seconds(float64(f.inflight+f.mtu.current)/rate)-f.model.minRTT/2)
	}
	if over := f.inflight + f.mtu.current - f.model.cwnd(); over > 0 && f.inflight > 0 {
		return d + Seconds(float64(over)/rate)
	}
	if f.pace.tokens <= 0 {
		d += Seconds(-f.pace.tokens / f.model.pacingRate())
	}
	return d
}

// StartBurst opens a run of packets that leave together.
func (f *Flow) StartBurst(now Time) {
	if f.inflight == 0 {
		f.firstSent, f.deliveredAt = now, now
		f.slow.restart(now, f.settled, 0)
	}
	f.log.newBurst(burst{sent: now, delivered: f.delivered, deliveredAt: f.deliveredAt, firstSent: f.firstSent,
		lost: f.lostBytes, inflight: f.inflight, appLimited: f.delivered < f.appUntil})
}

// LargestAcked is the highest packet number the peer acknowledged.
func (f *Flow) LargestAcked() uint64 { return f.topAcked }

// NextPN is the number of the packet that Sent will record next.
func (f *Flow) NextPN() uint64 { return f.log.next }

// Sent records the packet that just took NextPN. A zero Kind is a packet that
// asks for no acknowledgement; anything else must follow StartBurst.
func (f *Flow) Sent(now Time, r Record) {
	f.stats.PacketsSent++
	f.stats.BytesSent += uint64(r.Size)
	if r.Kind == 0 {
		r.state = untracked
		f.log.add(r)
		return
	}
	r.state = inFlight
	f.inflight += int(r.Size)
	f.pace.spend(int(r.Size))
	f.lastSent = now
	f.acks.spoke(now)
	f.loss.sent()
	f.log.add(r)
}

// AppLimited says that there was nothing more to send: samples until what is
// in flight is delivered say nothing about the path.
func (f *Flow) AppLimited() {
	if f.inflight < f.model.cwnd() {
		f.appUntil = f.delivered + uint64(f.inflight) + 1
	}
}

// Limited reports whether the window, and not pacing, holds sending back.
func (f *Flow) Limited() bool { return f.model.cwnd()-f.inflight < f.mtu.current }

// MTUProbe returns the size of a path MTU probe to send now, 0 for none. Ask
// only when there is bulk to send: quiet connections need no larger packets.
func (f *Flow) MTUProbe(now Time) int { return f.mtu.probe(now, f.rtt.pto()) }

// TooBig learns that the local interface refused a datagram of size bytes.
func (f *Flow) TooBig(size int) {
	f.mtu.tooBig(size)
	f.model.mss = f.mtu.current
}

// Deadline returns when Timeout must be called at the latest; pending says
// that the owner has something to send that pacing holds back, acks that it can
// send acknowledgements.
func (f *Flow) Deadline(pending, acks bool) Time {
	t := Never
	if f.acks.owed && acks {
		t = f.acks.due
		if f.acks.now {
			return 0
		}
	}
	if f.inflight > 0 {
		t = min(t, f.lossDeadline())
	}
	if pending && !f.Limited() {
		t = min(t, f.pace.next(f.model.pacingRate()))
	}
	return t
}

// Window is how many bytes the model wants in flight.
func (f *Flow) Window() int { return f.model.cwnd() }

// AckWish returns what to ask the peer in an ACK_EVERY frame, if that differs
// much from what it was told: while the window holds sending back, four
// acknowledgements in each keep it moving. A flow that is never held back asks
// for nothing.
func (f *Flow) AckWish() (w sal.AckEvery, ok bool) {
	if !f.held {
		return w, false
	}
	f.held = false
	share := f.model.cwnd() / 4
	if f.model.lan() {
		share *= 3 // neighbours fill the pauses; longer trains cost less
	}
	bytes := min(max(share, 2*f.mtu.current), ackBytes)
	told := cmp.Or(f.told, ackBytes)
	if bytes < 2*told && 2*bytes > told {
		return w, false
	}
	f.told = bytes
	return sal.AckEvery{Flow: f.Index, Bytes: uint64(bytes), Delay: maxAckDelay}, true
}

// AckWishLost learns that the last wish may not have arrived.
func (f *Flow) AckWishLost() { f.told = 0 }

// OnAckWish takes the peer's wish.
func (f *Flow) OnAckWish(w *sal.AckEvery) { f.acks.ask(w.Bytes, w.Delay) }
