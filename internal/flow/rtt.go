package flow

import "time"

// initialRTT stands in until the first sample (RFC 9002 section 6.2.2 uses
// 333 ms; a flow normally starts with the sample of its handshake).
const initialRTT = 200 * time.Millisecond

// rareSample is the pause after which a sample that is lower than the average
// counts for more.
const rareSample = 500 * time.Millisecond

// rtt is the round-trip estimator of RFC 9002 section 5.
type rtt struct {
	smoothed, variance, latest time.Duration
}

// reset forgets all but the sample d, if there is one.
func (r *rtt) reset(d time.Duration) {
	*r = rtt{}
	if d > 0 {
		r.sample(d)
	}
}

func (r *rtt) sample(d time.Duration) {
	d = max(d, time.Microsecond)
	r.latest = d
	if r.smoothed == 0 {
		r.smoothed, r.variance = d, d/2
		return
	}
	diff := r.smoothed - d
	if diff < 0 {
		diff = -diff
	}
	r.variance += (diff - r.variance) / 4
	r.smoothed += (d - r.smoothed) / 8
}

func (r *rtt) srtt() time.Duration {
	if r.smoothed == 0 {
		return initialRTT
	}
	return r.smoothed
}

// pto is how long silence after a packet is believable. The slack of 10 ms
// covers the peer's delayed acknowledgement and a busy scheduler: without it
// an idle-looking LAN peer would be probed for every hiccup.
func (r *rtt) pto() time.Duration {
	if r.smoothed == 0 {
		return 2 * initialRTT
	}
	return r.smoothed + max(4*r.variance, time.Millisecond) + 10*time.Millisecond
}
