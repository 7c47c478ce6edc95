package flow

// pacer is a token bucket in bytes. A timer on a busy machine is late by a
// millisecond, so the bucket holds what two milliseconds may send: the rate is
// kept, in trains that segmentation offload likes.
type pacer struct {
	tokens float64
	at     Time
}

// maxTrain is the most one system call can send.
const maxTrain = 64 << 10

func (p *pacer) depth(rate float64) float64 {
	return max(rate*0.002, 2*maxTrain/4)
}

// refill brings the bucket up to now at rate bytes per second.
func (p *pacer) refill(now Time, rate float64) {
	if p.at == 0 {
		p.tokens = p.depth(rate)
	} else if now > p.at {
		p.tokens = min(p.tokens+now.Sub(p.at).Seconds()*rate, p.depth(rate))
	}
	p.at = now
}

func (p *pacer) spend(n int) { p.tokens -= float64(n) }

// next returns when a train worth sending will be allowed.
func (p *pacer) next(rate float64) Time {
	want := min(rate*0.001, maxTrain)
	if p.tokens >= want {
		return p.at
	}
	return p.at.Add(Seconds((want-p.tokens)/rate) + 1)
}
