package flow

import (
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

const (
	packetThreshold    = 3 // RFC 9002 section 6.1.1
	maxPacketThreshold = 256
	recentLost         = 64
	maxBackoff         = 6  // doublings of the probe timeout
	maxTimeouts        = 64 // what is counted of timeouts in a row
)

// lossState is loss recovery by packet number and time (RFC 9002 section 6),
// with a threshold that learns the path's reordering.
type lossState struct {
	threshold uint64
	reorder   time.Duration // extra time a straggler gets, learnt
	at        Time          // when an overtaken packet becomes lost, 0 if none
	backoff   uint          // consecutive probe timeouts
	probes    int           // packets that may leave in spite of the window
	recent    []uint64      // numbers declared lost lately; nil until the first
	recentN   int
}

func (l *lossState) init() { l.threshold = packetThreshold }

func (l *lossState) sent() {
	if l.probes > 0 {
		l.probes--
	}
}

// remember keeps the number of a packet declared lost, to notice if it was
// only late.
func (l *lossState) remember(pn uint64) {
	if l.recent == nil {
		l.recent = make([]uint64, recentLost)
	}
	l.recent[l.recentN%recentLost] = pn
	l.recentN++
}

// OnAck takes an ACK frame for this flow.
func (f *Flow) OnAck(now Time, a *sal.AckFrame, o Owner) error {
	if a.N == 0 {
		return nil
	}
	top := a.Ranges[0].Last
	if top >= f.log.next {
		return ErrAckUnsent
	}
	f.topAcked = max(f.topAcked, top)
	f.checkSpurious(a)
	s := sample{now: now, prior: 0}
	var newest burst
	var rttFrom Time
	for i := a.N - 1; i >= 0; i-- {
		r := a.Ranges[i]
		for pn := max(r.First, f.log.base); pn <= r.Last; pn++ {
			rec := f.log.rec(pn)
			if rec.state != inFlight {
				continue
			}
			rec.state = acked
			s.acked += int(rec.Size)
			b := f.log.burst(rec)
			if b.sent >= newest.sent {
				newest = *b
			}
			if pn == top {
				rttFrom = b.sent
			}
			if rec.Kind&Probe != 0 {
				f.mtu.acked(int(rec.Size))
				f.model.mss = f.mtu.current
			}
			o.PacketAcked(f, *rec)
		}
	}
	if s.acked == 0 {
		return nil
	}
	f.inflight -= s.acked
	f.delivered += uint64(s.acked)
	f.settled += uint64(s.acked)
	f.loss.backoff, f.loss.probes = 0, 0
	f.progress, f.excused = now, false
	if rttFrom > 0 {
		s.rtt = now.Sub(rttFrom)
		// The delay is the peer's word: it may shorten a sample, not below
		// what was ever seen.
		adjusted := max(s.rtt-a.Delay, min(s.rtt, f.model.minRTT))
		f.rtt.sample(adjusted)
		if now.Sub(f.sampled) > rareSample && adjusted < f.rtt.smoothed {
			f.rtt.smoothed = (f.rtt.smoothed + adjusted) / 2 // rare samples are news
		}
		f.sampled = now
		s.rtt = adjusted
	}
	f.deliverySample(now, &newest, &s)
	s.lost = f.detectLoss(now, top, o)
	f.log.advance()
	s.inflight = f.inflight
	s.prior, s.delivered, s.appLimited = newest.delivered, f.delivered, newest.appLimited
	s.txInflight = newest.inflight
	if d := f.delivered - newest.delivered + f.lostBytes - newest.lost; d > 0 {
		s.lossRate = float64(f.lostBytes-newest.lost) / float64(d)
	}
	f.model.onAck(&s)
	f.look(now)
	return nil
}

// deliverySample computes the delivery rate: bytes delivered since the newest
// acknowledged packet left, over the longer of the time it took to send and to
// acknowledge them (the shorter would over-estimate).
func (f *Flow) deliverySample(now Time, newest *burst, s *sample) {
	sendTime := newest.sent.Sub(newest.firstSent)
	ackTime := now.Sub(newest.deliveredAt)
	f.firstSent, f.deliveredAt = newest.sent, now
	interval := max(sendTime, ackTime)
	if interval <= 0 || interval < f.model.minRTT*9/10 {
		return
	}
	s.rate = float64(f.delivered-newest.delivered) / interval.Seconds()
}

// detectLoss declares lost what later packets overtook by number or by time.
// It returns the bytes.
func (f *Flow) detectLoss(now Time, top uint64, o Owner) (bytes int) {
	f.loss.at = 0
	rtt := max(f.rtt.latest, f.rtt.srtt())
	wait := rtt + max(rtt/8, time.Millisecond) + f.loss.reorder
	for pn := f.log.base; pn < top; pn++ {
		r := f.log.rec(pn)
		if r.state != inFlight {
			continue
		}
		due := f.log.burst(r).sent.Add(wait)
		if top-pn < f.loss.threshold && now < due {
			f.loss.at = due
			break
		}
		bytes += f.declareLost(pn, r, o)
	}
	return bytes
}

func (f *Flow) declareLost(pn uint64, r *Record, o Owner) int {
	r.state = lost
	size := int(r.Size)
	f.inflight -= size
	f.settled += uint64(size)
	f.loss.remember(pn)
	if !r.told {
		o.PacketLost(f, *r)
	}
	if r.Kind&Probe != 0 {
		return 0 // says something of its size, nothing of the path's load
	}
	f.stats.PacketsLost++
	f.stats.BytesLost += uint64(size)
	if r.told {
		return 0 // lost to an outage, which says nothing of the load either
	}
	f.lostBytes += uint64(size)
	return size
}

// checkSpurious widens the reordering tolerance when a packet declared lost
// was merely late.
func (f *Flow) checkSpurious(a *sal.AckFrame) {
	n := min(f.loss.recentN, recentLost)
	for i := range n {
		pn := f.loss.recent[i]
		if pn == 0 || pn > a.Ranges[0].Last || pn < a.Ranges[a.N-1].First {
			continue
		}
		for _, r := range a.Ranges[:a.N] {
			if pn >= r.First && pn <= r.Last {
				f.loss.recent[i] = 0
				f.stats.Spurious++
				f.loss.threshold = min(f.loss.threshold*2, maxPacketThreshold)
				f.loss.reorder = min(f.loss.reorder+f.rtt.srtt()/8, f.rtt.srtt())
				break
			}
		}
	}
}
