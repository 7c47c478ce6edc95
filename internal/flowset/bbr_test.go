package flowset

import (
	"math/rand/v2"
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// bbr is BBR version 1 as in Linux (net/ipv4/tcp_bbr.c): no response to loss
// but one round of packet conservation.
type bbr struct {
	rng      *rand.Rand
	state    int
	bws      [10]float64 // highest rate of each of the last rounds
	round    int
	roundEnd int
	limited  int
	minRTT   time.Duration
	minAt    flow.Time
	fullBW   float64
	fullFor  int
	phase    int
	phaseAt  flow.Time
	lossy    bool
	cwnd     float64
	prior    float64
	done     flow.Time // end of ProbeRTT
}

const (
	bbrStartup = iota
	bbrDrain
	bbrProbeBW
	bbrProbeRTT
)

const bbrHigh = 2.885

var bbrCycle = [8]float64{1.25, 0.75, 1, 1, 1, 1, 1, 1}

func newBBR(seed uint64) *bbr { return &bbr{rng: rand.New(rand.NewPCG(seed, 3)), cwnd: 10} }

func (b *bbr) bw() float64 {
	m := 0.0
	for _, v := range b.bws {
		m = max(m, v)
	}
	return m
}

func (b *bbr) bdp(gain float64) float64 { return b.bw() * b.minRTT.Seconds() * gain }

func (b *bbr) window() float64 { return b.cwnd }

func (b *bbr) pace() float64 {
	gain := 1.0
	switch b.state {
	case bbrStartup:
		gain = bbrHigh
	case bbrDrain:
		gain = 1 / bbrHigh
	case bbrProbeBW:
		gain = bbrCycle[b.phase]
	}
	if b.bw() == 0 {
		return 10 / max(b.minRTT.Seconds(), 0.001) * bbrHigh
	}
	return b.bw() * gain * 0.99
}

func (b *bbr) acked(now flow.Time, a tcpAck) {
	newRound := a.prior >= b.roundEnd
	if newRound {
		b.roundEnd = a.delivered
	}
	if b.state == bbrProbeRTT { // its samples count as application-limited
		b.limited = a.delivered + a.inflight
	}
	if a.prior >= b.limited || a.rate > b.bw() {
		if newRound {
			b.round++
			b.bws[b.round%len(b.bws)] = 0
		}
		b.bws[b.round%len(b.bws)] = max(b.bws[b.round%len(b.bws)], a.rate)
	}
	expired := b.minAt != 0 && now.Sub(b.minAt) > 10*time.Second
	if b.minRTT == 0 || a.rtt <= b.minRTT || expired {
		b.minRTT, b.minAt = a.rtt, now
	}
	b.step(now, a, newRound)
	if expired && b.state != bbrProbeRTT {
		b.state, b.prior, b.done = bbrProbeRTT, b.cwnd, 0
	}
	if b.state == bbrProbeRTT {
		b.probeRTT(now, a)
		return
	}
	gain := 2.0
	if b.state == bbrStartup || b.state == bbrDrain {
		gain = bbrHigh
	}
	target := b.bdp(gain) + 3
	if b.fullFor >= 3 {
		b.cwnd = min(b.cwnd+1, target)
	} else if b.cwnd < target || a.delivered < 10 {
		b.cwnd++
	}
	b.cwnd = max(b.cwnd, 4)
}

func (b *bbr) step(now flow.Time, a tcpAck, newRound bool) {
	switch b.state {
	case bbrStartup:
		if newRound {
			if b.bw() >= b.fullBW*1.25 {
				b.fullBW, b.fullFor = b.bw(), 0
			} else {
				b.fullFor++
			}
		}
		if b.fullFor >= 3 {
			b.state = bbrDrain
		}
	case bbrDrain:
		if float64(a.inflight) <= b.bdp(1) {
			b.probeBW(now)
		}
	case bbrProbeBW:
		long := now.Sub(b.phaseAt) > b.minRTT
		switch {
		case b.phase == 0 && !(long && (b.lossy || float64(a.inflight) >= b.bdp(1.25))):
		case b.phase == 1 && !(long || float64(a.inflight) <= b.bdp(1)):
		case b.phase > 1 && !long:
		default:
			b.phase, b.phaseAt = (b.phase+1)%8, now
		}
	}
	b.lossy = false
}

func (b *bbr) probeBW(now flow.Time) {
	b.state, b.phaseAt = bbrProbeBW, now
	b.phase = (2 + b.rng.IntN(7)) % 8 // any but the draining one
}

func (b *bbr) probeRTT(now flow.Time, a tcpAck) {
	b.cwnd = 4
	if b.done == 0 {
		if a.inflight <= 4 {
			b.done = now.Add(max(200*time.Millisecond, a.rtt))
		}
		return
	}
	if now > b.done {
		b.minAt = now
		b.cwnd = b.prior
		if b.fullFor >= 3 {
			b.probeBW(now)
		} else {
			b.state = bbrStartup
		}
	}
}

func (b *bbr) lost(_ flow.Time, _, _ uint64, _, _ int) { b.lossy = true }
func (b *bbr) timeout()                                { b.cwnd = 4 }
