package flow

import "time"

// enter changes the phase.
func (m *model) enter(to mode, now Time) {
	m.mode, m.phaseAt, m.rounds = to, now, 0
	switch to {
	case down:
		if m.bw.cur > 0 { // who had little to send learnt nothing, and forgets nothing
			m.bw.rotate()
		}
		m.wait = m.probeWait()
	case probeUp:
		m.fullBW = m.bw.value()
	case probeRTT:
		m.rttDone = 0
	}
}

// probeWait says how long to cruise before probing again: two to three seconds,
// or as many round trips as a Reno flow of this window would take to grow by
// one packet each, so that neither starves the other (draft section 4.3.3.5).
// Unlike in the draft those vary too, by a quarter, or else flows that share a
// bottleneck keep the order in which they probe, and with it their shares.
func (m *model) probeWait() time.Duration {
	m.rng ^= m.rng << 13
	m.rng ^= m.rng >> 7
	m.rng ^= m.rng << 17
	luck := float64(m.rng>>11) / (1 << 53)
	wall := time.Duration((2 + luck) * 1e9)
	packets := min(m.bdp(1)/float64(m.mss), 48) * (0.75 + luck/2)
	return min(wall, time.Duration(packets*float64(m.minRTT)))
}

// step runs the phase machine after an acknowledgement:
//
//	startup -> drain -> down -> cruise -> refill -> up -> down ...
//	any but startup -> probe-rtt -> cruise
func (m *model) step(s *sample, newRound bool) {
	if m.checkProbeRTT(s) {
		return
	}
	switch m.mode {
	case startup:
		// A flow that rarely has enough to send would keep the initial guess, but
		// a queue means that what it measured was the path.
		if newRound && (!s.appLimited || m.queued() && m.bw.value() < m.bwFirst) {
			if m.bw.value() >= m.fullBW*1.25 {
				m.fullBW, m.fullFor = m.bw.value(), 0
			} else {
				m.fullFor++
			}
		}
		if m.fullFor >= 3 {
			m.enter(drain, s.now)
		}
	case drain:
		if float64(s.inflight) <= m.bdp(1)+m.quantum() || m.rounds > 4 {
			m.enter(down, s.now)
		}
	case down:
		if float64(s.inflight) <= m.bdp(1)+m.quantum() || m.rounds > 3 {
			m.enter(cruise, s.now)
		}
	case cruise:
		if m.rounds <= 2 && m.bw.value() > m.fullBW*1.1 && !m.queued() {
			m.enter(probeUp, s.now) // probing paid: the path became faster
			return
		}
		if s.now.Sub(m.phaseAt) > m.wait {
			m.enter(refill, s.now)
		}
	case refill:
		if m.rounds >= 1 {
			m.enter(probeUp, s.now)
		}
	case probeUp:
		m.raiseCeiling(s, newRound)
		full := float64(s.inflight) >= m.bdp(1.25)
		if m.rounds >= 1 && s.now.Sub(m.phaseAt) > m.minRTT && (full || m.rounds > 3 || s.appLimited) {
			m.inflightHi = m.inflightHi * 5 / 4 // no loss: there is more room than was thought
			m.enter(down, s.now)
		}
	}
}

// raiseCeiling lifts the loss ceiling while probing shows it is too low.
func (m *model) raiseCeiling(s *sample, newRound bool) {
	if m.inflightHi == 0 || !newRound {
		return
	}
	if s.txInflight >= m.inflightHi*9/10 {
		m.upRounds++
		m.inflightHi += m.mss << min(m.upRounds, 16)
	} else {
		m.upRounds = 0
	}
}

// checkProbeRTT lets the queue run empty every few seconds, unless the path
// was seen empty lately anyway. It reports whether the phase is probeRTT.
func (m *model) checkProbeRTT(s *sample) bool {
	if m.lan() || m.mode == startup {
		return false
	}
	if m.mode != probeRTT {
		if s.now.Sub(m.probedAt) < probeRTTEvery {
			return false
		}
		if s.appLimited {
			m.probedAt = s.now
			return false
		}
		m.enter(probeRTT, s.now)
	}
	if m.rttDone == 0 {
		if s.inflight <= m.cwnd()+int(m.quantum()) || s.now.Sub(m.phaseAt) > 2*m.minRTT+probeRTTLength {
			m.rttDone = s.now.Add(max(probeRTTLength, m.minRTT))
			m.rounds = 0
			m.minRTT = max(m.roundRTT, time.Microsecond)
			m.minRTTAt = s.now
		}
		return true
	}
	if s.rtt > 0 && s.rtt < m.minRTT {
		m.minRTT, m.minRTTAt = s.rtt, s.now
	}
	if s.now >= m.rttDone && m.rounds >= 1 {
		m.probedAt, m.minRTTAt = s.now, s.now
		m.enter(cruise, s.now)
		m.wait = m.probeWait()
	}
	return true
}

// onTimeout learns that everything in flight is presumed lost. Until the path
// shows life, no more than a few packets are risked at a time (RFC 9002 section
// 7.6); what was learnt of it is kept.
func (m *model) onTimeout(now Time) {
	m.silent = true
	if m.mode == probeUp {
		m.enter(down, now)
	}
}
