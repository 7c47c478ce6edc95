package flow

import "time"

const (
	// eagerProbe is the longest pause between two probes while it matters that
	// the end of an outage is noticed; after eagerFor they become fewer.
	eagerProbe = 400 * time.Millisecond
	eagerFor   = 2 * time.Minute
	slowProbe  = 2 * time.Second
	// idleProbe is the pause after idleProbes of them went unanswered on a
	// connection with nothing outstanding.
	idleProbe  = 15 * time.Second
	idleProbes = 10

	// steadyProbes is how many PINGs leave at the same pace before the pauses
	// between them grow.
	steadyProbes = 10

	// forgetAfter is how long a silent path's model is believed.
	forgetAfter = minRTTWindow
	// ackSlack is how late an acknowledgement may be for reasons that are not
	// the path's: the peer's delay and a busy scheduler, there or here.
	ackSlack  = 10 * time.Millisecond
	overslept = 5 * time.Millisecond
)

func (f *Flow) lossDeadline() Time {
	if f.loss.at != 0 {
		return f.loss.at
	}
	if f.Helped && f.loss.backoff == 0 {
		return f.suspectAt()
	}
	// Each packet puts the probe off, but not for ever: datagrams may leave all
	// the time and fill no window.
	oldest := f.log.burst(f.log.rec(f.log.base)).sent
	return min(f.lastSent.Add(f.probeWait()), max(oldest, f.progress, f.resumed, f.probed).Add(2*f.probeWait()))
}

// suspectAt is when silence becomes suspicious: the oldest packet should have
// been acknowledged by then, and under load acknowledgements come far more often
// than once in half a round trip.
func (f *Flow) suspectAt() Time {
	oldest := f.log.burst(f.log.rec(f.log.base)).sent
	gap := f.rtt.srtt()/2 + 2*f.rtt.variance + ackSlack
	return max(max(oldest, f.resumed).Add(f.rtt.pto()), f.progress.Add(gap))
}

// probeWait is the pause after a probe: doubled each time, but never so long
// that the end of an outage would go unnoticed.
func (f *Flow) probeWait() time.Duration {
	pto := f.rtt.pto()
	limit := eagerProbe
	switch silent := f.lastSent.Sub(max(f.lastHeard, f.progress)); {
	case f.Idle && f.loss.backoff >= idleProbes:
		return max(idleProbe, pto)
	case silent > eagerFor:
		limit = slowProbe
	}
	doublings := f.loss.backoff
	if f.Helped { // a PING costs nothing, and a path that flaps is soon back
		doublings = max(doublings, steadyProbes) - steadyProbes
	}
	return min(pto<<min(doublings, maxBackoff), max(limit, pto))
}

// Timeout does what is due at now. After silence it lets the oldest data leave
// again in spite of the window; after repeated silence everything in flight is
// presumed lost. A flow that is Helped keeps what is in flight and leaves it to
// its owner what to do. It reports whether it was for silence; Timeouts counts
// how often that was in a row.
func (f *Flow) Timeout(now Time, o Owner) (silent bool) {
	if f.inflight == 0 {
		return false
	}
	due := f.lossDeadline()
	if now < due {
		return false
	}
	if f.loss.at != 0 {
		f.model.roundLost += f.detectLoss(now, f.topAcked, o)
		f.log.advance()
		return false
	}
	if f.Helped {
		return f.timeoutHelped(now, due, o)
	}
	f.stats.Timeouts++
	f.loss.backoff = min(f.loss.backoff+1, maxTimeouts)
	f.loss.probes = 2
	if f.loss.backoff >= 3 {
		f.mtu.blackhole(now)
		f.model.mss = f.mtu.current
		f.model.onTimeout(now)
	}
	n := 0
	for pn := f.log.base; pn < f.log.next; pn++ {
		if r := f.log.rec(pn); r.state == inFlight {
			f.declareLost(pn, r, o)
			if n++; n == 2 && f.loss.backoff < 3 {
				break
			}
		}
	}
	f.lastSent, f.probed = now, now
	f.log.advance()
	return true
}

func (f *Flow) timeoutHelped(now, due Time, o Owner) bool {
	if f.loss.backoff == 0 {
		if late := now.Sub(due); late > overslept && !f.excused { // who was silent was this machine
			f.excused = true
			f.resumed = now.Add(ackSlack - f.rtt.pto())
			return false
		}
		// A path MTU probe that vanishes says nothing of the path.
		for pn := f.log.base; pn < f.log.next; pn++ {
			if r := f.log.rec(pn); r.state == inFlight && r.Kind == Probe {
				f.declareLost(pn, r, o)
			}
		}
		f.log.advance()
		if f.inflight == 0 || now < f.suspectAt() {
			return false
		}
	}
	f.stats.Timeouts++
	f.loss.backoff = min(f.loss.backoff+1, maxTimeouts)
	f.lastSent, f.probed = now, now
	return true
}

// Timeouts is how many probe timeouts in a row went unanswered.
func (f *Flow) Timeouts() int { return int(f.loss.backoff) }

// Progress is when anything new was acknowledged last.
func (f *Flow) Progress() Time { return f.progress }

// Sampled is when the round trip was measured last.
func (f *Flow) Sampled() Time { return f.sampled }

// Resume takes the flow into use again after silence that began at since. The
// path may be another than it was: the last round trip counts for more than
// those before, and what was learnt long ago is forgotten, except for its length.
func (f *Flow) Resume(now, since Time) {
	f.resumed = now
	f.slow = slowness{since: now, settled: f.settled}
	if f.sampled == now {
		f.rtt.reset(f.rtt.latest)
	}
	if now.Sub(since) > forgetAfter {
		f.model.init(now, f.mtu.current, f.model.minRTT, f.model.rng, f.model.route)
	}
}
