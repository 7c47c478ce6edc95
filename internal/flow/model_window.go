package flow

import (
	"math"
	"time"
)

// lan reports a path too short to pace: timers are coarser than its round trip.
func (m *model) lan() bool { return m.local }

// classify decides whether the path is a LAN by the least round trip to that
// host.
func (m *model) classify() {
	switch least := m.least(); {
	case least == 0:
	case least < lanRTT:
		m.local = true
	case least > lanLeave:
		m.local = false
	}
}

// least is the shortest round trip that this flow or its neighbours know.
func (m *model) least() time.Duration {
	if r := m.route.rtt(); r > 0 && (m.minRTT == 0 || r < m.minRTT) {
		return r
	}
	return m.minRTT
}

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
	return 0.99 - m.restraint() // cruise, refill: a hair under, so that no queue creeps up
}

// restraint is what a standing queue takes off the pacing gain. The estimate is
// the best of many samples, and whatever delays and bunches acknowledgements
// makes it err on the high side by some percent: without this the queue would
// grow until the window ends it. Against others, who keep the queue, the window
// decides anyway (see fair).
func (m *model) restraint() float64 {
	standing := float64(m.lastRTT-m.minRTT) / float64(m.minRTT)
	return min(max(standing-restraintFrom, 0)*restraintGain, restraintMost)
}

const (
	restraintFrom = 1.0 / 8 // of the least round trip is no queue
	restraintGain = 0.25
	restraintMost = 0.06
)

// cwnd returns how many bytes may be in flight.
func (m *model) cwnd() int {
	least := minCwndPackets * m.mss
	if m.silent {
		return least
	}
	if m.lan() {
		return max(least, m.lanWindow())
	}
	if m.bw.value() == 0 {
		return initialCwnd * m.mss
	}
	gain := cruiseCwndGain
	switch m.mode {
	case startup, probeUp:
		gain = probeCwndGain
	case probeRTT:
		return max(least, int(m.bdp(0.5)))
	}
	w := m.bdp(1) + max(m.bdp(gain-1)+m.fair(), m.extra.value()+3*m.quantum())
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

// Where several flows fill a queue, the windows and not the pacing decide who
// gets how much. The draft's window of twice the bandwidth-delay product holds
// a queue of a round trip, takes most of the link from BBRv1 and keeps whatever
// shares two flows happen to have. A smaller multiple, and a part that grows as
// the root of the product, have equal shares as their only balance; the sizes
// were tuned against cubic and BBRv1 (docs/flow-engine.md).
const (
	cruiseCwndGain = 1.25
	probeCwndGain  = 2.25
	fairShare      = 4.0
)

// fair is the part of the window that is not in proportion to the rate.
func (m *model) fair() float64 { return fairShare * math.Sqrt(m.bdp(1)*float64(m.mss)) }

// quantum is the size of a paced train.
func (m *model) quantum() float64 {
	return max(min(m.bandwidth()*0.001, maxTrain), float64(2*m.mss))
}
