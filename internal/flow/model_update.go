package flow

import "time"

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
	m.updateLAN(s, newRound)
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

// updateRTT keeps the least round trip of the last minRTTWindow.
func (m *model) updateRTT(s *sample) {
	if s.rtt <= 0 {
		return
	}
	m.route.sample(s.now, s.rtt)
	m.classify()
	if m.roundRTT == 0 || s.rtt < m.roundRTT {
		m.roundRTT = s.rtt
	}
	if m.minRTT == 0 || s.rtt <= m.minRTT || s.now.Sub(m.minRTTAt) > minRTTWindow && !m.ownQueue(s) {
		m.minRTT, m.minRTTAt = s.rtt, s.now
	}
	if s.rtt <= m.minRTT+m.minRTT/16 {
		m.probedAt = s.now
	}
}

// ownQueue reports whether a long round trip on a LAN is but what is in flight
// there: nothing is paced, so the queue is never seen empty, and being silent
// for that as on other paths would cost too much.
func (m *model) ownQueue(s *sample) bool {
	return m.lan() && m.bandwidth() > 0 && s.rtt.Seconds()-float64(s.txInflight)/m.bandwidth() < lanRTT.Seconds()
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

// updateLoss lowers the ceiling of what may be in flight when probing, or what
// startup sent too much, made a queue overflow.
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
