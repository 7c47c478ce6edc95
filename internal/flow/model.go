package flow

import "time"

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
	recent  float64   // best of the last fallRounds rounds at most
	fullBW  float64   // estimate when growth was last looked at
	fullFor int       // rounds without growth

	// round trips
	minRTT   time.Duration
	minRTTAt Time
	probedAt Time // last time the queue was known to be empty
	rttDone  Time // end of probeRTT, 0 until inflight is low

	route *Route
	local bool     // the path is a LAN
	near  lanModel // what takes the place of all this there

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

func (m *model) init(now Time, mss int, rtt time.Duration, seed uint64, route *Route) {
	*m = model{mss: mss, phaseAt: now, probedAt: now, rng: seed*0x9e3779b97f4a7c15 | 1, route: route}
	if rtt > 0 {
		m.minRTT, m.minRTTAt = rtt, now
		route.sample(now, rtt)
		m.classify()
	} else {
		rtt = 10 * time.Millisecond
	}
	m.bwFirst = float64(initialCwnd*mss) / rtt.Seconds()
}

// bandwidth is the estimate that everything derives from, bytes per second.
func (m *model) bandwidth() float64 {
	bw := m.bw.value()
	if m.mode == startup || bw == 0 {
		bw = max(bw, m.bwFirst)
	}
	return bw
}

// bdp is gain times the bandwidth-delay product in bytes.
func (m *model) bdp(gain float64) float64 {
	return m.bandwidth() * m.minRTT.Seconds() * gain
}
