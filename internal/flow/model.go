package flow

import (
	"math"
	"time"
)

// sample is what one acknowledgement tells about the path.
type sample struct {
	now        Time
	rate       float64 // delivery rate in bytes per second, 0 if unknown
	rtt        time.Duration
	acked      int // bytes newly delivered
	lost       int // bytes newly declared lost
	inflight   int // bytes still in flight
	prior      uint64
	delivered  uint64
	appLimited bool
	txInflight int     // in flight when the newest acknowledged packet left
	lossRate   float64 // share of bytes lost since that packet left
}

// mode is a phase of the model (draft-ietf-ccwg-bbr section 4.3).
type mode uint8

const (
	startup  mode = iota // doubling every round until the rate stops growing
	drain                // emptying the queue that startup built
	cruise               // sending at the estimated rate, with headroom
	refill               // filling the pipe, before
	probeUp              // pushing beyond the estimate, and
	down                 // giving the queue back
	probeRTT             // nearly silent, to see the path without our queue
)

var modeNames = [...]string{"startup", "drain", "cruise", "refill", "up", "down", "probe-rtt"}

func (m mode) String() string { return modeNames[m] }

const (
	startupGain    = 2.77
	minRTTWindow   = 10 * time.Second
	probeRTTEvery  = 5 * time.Second
	probeRTTLength = 200 * time.Millisecond
	lossThreshold  = 0.02 // of a round's bytes
	beta           = 0.7
	minCwndPackets = 4
	fallRounds     = 4
	initialCwnd    = 32 // packets
	lanRTT         = 2 * time.Millisecond
)

// model estimates what the path carries (delivery rate and minimum round trip)
// and derives how fast and how much to send. It follows BBR; where it departs,
// the comment says why.
type model struct {
	mss  int
	mode mode

	// rate
	bw      maxFilter // over the last two probe cycles
	bwFirst float64   // what the initial window makes, until startup is over
	bwLo    float64   // short-term ceiling after loss, 0 = none
	recent  float64   // best of the last fallRounds rounds at most
	fullBW  float64   // estimate when growth was last looked at
	fullFor int       // rounds without growth

	// round trips
	minRTT   time.Duration
	minRTTAt Time
	probedAt Time // last time the queue was known to be empty
	rttDone  Time // end of probeRTT, 0 until inflight is low

	// rounds
	round     uint64
	roundEnd  uint64 // delivered count that ends it
	roundRTT  time.Duration
	lastRTT   time.Duration // least of the previous round: the standing queue
	roundLost int

	// volume
	inflightHi int  // ceiling learnt from loss while probing, 0 = none
	silent     bool // nothing was acknowledged for several timeouts
	extra      maxFilter
	extraAt    Time
	extraSum   float64

	phaseAt  Time
	wait     time.Duration
	rounds   int // in this phase
	rng      uint64
	upRounds int
}

// maxFilter keeps the largest value of the current and the previous window.
type maxFilter struct{ cur, prev float64 }

func (f *maxFilter) add(v float64)  { f.cur = max(f.cur, v) }
func (f *maxFilter) rotate()        { f.prev, f.cur = f.cur, 0 }
func (f *maxFilter) value() float64 { return max(f.cur, f.prev) }

func (m *model) init(now Time, mss int, rtt time.Duration, seed uint64) {
	*m = model{mss: mss, phaseAt: now, probedAt: now, rng: seed | 1}
	if rtt > 0 {
		m.minRTT, m.minRTTAt = rtt, now
	} else {
		rtt = 10 * time.Millisecond
	}
	m.bwFirst = float64(initialCwnd*mss) / rtt.Seconds()
}

// bandwidth is the estimate that everything derives from, bytes per second.
func (m *model) bandwidth() float64 {
	bw := m.bw.value()
	if m.mode == startup {
		bw = max(bw, m.bwFirst)
	}
	if m.bwLo > 0 {
		bw = min(bw, m.bwLo)
	}
	return bw
}

// bdp is gain times the bandwidth-delay product in bytes.
func (m *model) bdp(gain float64) float64 {
	return m.bandwidth() * m.minRTT.Seconds() * gain
}

// lan reports a path too short to pace: timers are coarser than its round trip.
func (m *model) lan() bool { return m.minRTT > 0 && m.minRTT < lanRTT }

// pacingRate returns bytes per second.
func (m *model) pacingRate() float64 {
	if m.lan() {
		return 1e12
	}
	return m.bandwidth() * m.pacingGain()
}

func (m *model) pacingGain() float64 {
	switch m.mode {
	case startup:
		return startupGain
	case drain:
		return 0.5
	case probeUp:
		return 1.25
	case down:
		return 0.9
	case probeRTT:
		return 1
	}
	return 0.99 // cruise, refill: a hair under, so that no queue creeps up
}

// cwnd returns how many bytes may be in flight.
func (m *model) cwnd() int {
	least := minCwndPackets * m.mss
	if m.silent {
		return least
	}
	if m.bw.value() == 0 {
		return initialCwnd * m.mss
	}
	gain := 1.25
	switch m.mode {
	case startup, probeUp:
		gain = 2.25
	case probeRTT:
		return max(least, int(m.bdp(0.5)))
	}
	w := m.bdp(1) + max(m.bdp(gain-1)+m.fair(), m.extra.value()+3*m.quantum())
	if m.lan() {
		// The receiver acknowledges by the millisecond and the kernel's socket
		// buffer is the queue: let that much be on its way.
		w = max(w, 1<<20)
		w = min(w, 3<<20)
	}
	c := int(w)
	if m.inflightHi > 0 {
		hi := m.inflightHi
		if m.mode == cruise || m.mode == down {
			hi = hi * 85 / 100
		}
		c = min(c, hi)
	}
	return max(c, least)
}

const fairShare = 4.0

// fair is what every flow keeps in the queue beyond what is in proportion to
// its rate.
func (m *model) fair() float64 { return fairShare * math.Sqrt(m.bdp(1)*float64(m.mss)) }

// quantum is the size of a paced train.
func (m *model) quantum() float64 {
	return max(min(m.bandwidth()*0.001, maxTrain), float64(2*m.mss))
}

// onAck updates the model. It is the only way in besides onTimeout.
func (m *model) onAck(s *sample) {
	m.silent = false
	newRound := s.prior >= m.roundEnd
	if newRound {
		m.roundEnd = s.delivered
		m.round++
		m.rounds++
		m.lastRTT, m.roundRTT = m.roundRTT, 0
	}
	m.updateRTT(s)
	if s.rate > 0 && (!s.appLimited || s.rate >= m.bw.value()) {
		m.bw.add(s.rate)
	}
	m.updateFall(s, newRound)
	m.updateExtra(s, newRound)
	m.updateLoss(s, newRound)
	m.step(s, newRound)
}

// updateFall notices a path that became much slower. The rate filter would hold
// on to the past for two probe cycles with a queue of several round trips, and
// where the queue is deep no loss says so (the draft waits for it).
func (m *model) updateFall(s *sample, newRound bool) {
	m.recent = max(m.recent, s.rate)
	if s.appLimited || m.mode == probeRTT {
		m.recent = m.bw.value()
	}
	if newRound && m.round%fallRounds == 0 {
		if m.recent < m.bw.value()/2 && m.queued() {
			m.bw = maxFilter{cur: m.recent}
		}
		m.recent = 0
	}
}

func (m *model) updateRTT(s *sample) {
	if s.rtt <= 0 {
		return
	}
	if m.roundRTT == 0 || s.rtt < m.roundRTT {
		m.roundRTT = s.rtt
	}
	if m.minRTT == 0 || s.rtt <= m.minRTT || s.now.Sub(m.minRTTAt) > minRTTWindow {
		m.minRTT, m.minRTTAt = s.rtt, s.now
	}
	if s.rtt <= m.minRTT+m.minRTT/16 {
		m.probedAt = s.now
	}
}

// updateExtra measures acknowledgement aggregation: what arrived beyond what
// the rate explains has to be allowed in flight as well (draft section 4.5.9).
func (m *model) updateExtra(s *sample, newRound bool) {
	if newRound && m.round%10 == 0 {
		m.extra.rotate()
	}
	bw := m.bandwidth()
	if bw == 0 {
		return
	}
	expected := bw * s.now.Sub(m.extraAt).Seconds()
	if m.extraAt == 0 || m.extraSum <= expected {
		m.extraAt, m.extraSum, expected = s.now, 0, 0
	}
	m.extraSum += float64(s.acked)
	m.extra.add(min(m.extraSum-expected, bw*0.010+2*maxTrain/4))
}

// queued reports whether the last round saw a standing queue. A loss without
// one is the medium's, not congestion's: that is how goodput survives a lossy
// path, where BBR (draft section 4.5.10) looks at the loss rate alone.
func (m *model) queued() bool {
	r := m.roundRTT
	if m.lastRTT > 0 {
		r = min(r, m.lastRTT)
	}
	return r > m.minRTT+m.minRTT/4+2*time.Millisecond
}

func (m *model) updateLoss(s *sample, newRound bool) {
	m.roundLost += s.lost
	if s.lost > 0 && s.lossRate > lossThreshold && m.roundLost > 8*m.mss &&
		(m.queued() || s.lossRate > 0.2) && (m.mode == probeUp || m.mode == startup || m.mode == refill) {
		target := int(m.bdp(1) * beta)
		m.inflightHi = max(int(float64(s.txInflight)*beta), target, minCwndPackets*m.mss)
		if m.mode == startup {
			m.fullFor = 3
			m.inflightHi = max(s.txInflight, int(m.bdp(1)))
		} else {
			m.enter(down, s.now)
		}
	}
	if newRound {
		m.roundLost = 0
	}
}
