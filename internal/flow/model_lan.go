package flow

import (
	"math"
	"time"
)

// On a LAN nothing is paced, since timers are coarser than the round trip, and
// the queue is the kernel's socket buffer, which all flows between two hosts
// share. The window follows delay alone, as Swift's does (SIGCOMM 2020): it
// grows by a constant in each round trip and shrinks in proportion to the delay
// beyond a target, which makes the shares of many flows equal. As there, a
// small window allows more delay, so that many flows keep windows worth a
// system call.
const (
	lanTarget = time.Millisecond
	lanStep   = 16 << 10
	lanUnit   = 160 << 10 // a window for which the target is tripled
	lanMost   = 3 << 20   // less than a socket buffer holds
)

// lanModel is the window of a LAN path. The zero value is a flow that has just
// started.
type lanModel struct {
	window float64
	grown  bool // past slow start
}

// target is the queueing delay that a window of w bytes may see.
func (l *lanModel) target() time.Duration {
	return time.Duration(float64(lanTarget) * (1 + 2*math.Sqrt(lanUnit/l.window)))
}

// onRound adapts the window after a round trip whose least delay was rtt.
func (l *lanModel) onRound(rtt, least time.Duration, lost bool, mss int) {
	if l.window == 0 {
		l.window = float64(initialCwnd * mss)
	}
	switch limit := least + l.target(); {
	case rtt > limit:
		l.grown = true
		l.window *= max(0.7, 1-0.4*(1-float64(limit)/float64(rtt)))
		if lost {
			l.window *= beta
		}
	case lost && rtt > limit/2:
		l.grown = true
		l.window *= beta
	case l.grown:
		l.window += lanStep
	default:
		l.window *= 2
	}
	l.window = min(max(l.window, float64(minCwndPackets*mss)), lanMost)
}

// updateLAN runs the LAN model. A round in which the window held nothing back
// says nothing of what it could be.
func (m *model) updateLAN(s *sample, newRound bool) {
	if !newRound || !m.lan() || s.appLimited {
		return
	}
	rtt := m.lastRTT
	if rtt == 0 {
		rtt = s.rtt
	}
	m.near.onRound(rtt, m.least(), m.roundLost > 0, m.mss)
}

// lanWindow is the window in bytes.
func (m *model) lanWindow() int {
	if m.near.window == 0 {
		return initialCwnd * m.mss
	}
	return int(m.near.window)
}
