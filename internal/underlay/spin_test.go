package underlay

import (
	"testing"
	"time"
)

// traffic drives a spin through datagrams that come gap after the last, and
// returns how many of n polls hit and the time spent polling in vain. A
// datagram that comes while the reader sleeps is seen wake later.
func traffic(s *spin, now *time.Duration, n int, gap, wake time.Duration) (hits int, wasted time.Duration) {
	for range n {
		budget := s.budget()
		if gap <= budget {
			*now += gap
			s.hit(*now, gap)
			hits++
			continue
		}
		if budget > 0 {
			s.miss(*now + budget)
			wasted += budget
		}
		*now += gap + wake
		s.woke(*now, gap+wake)
	}
	return hits, wasted
}

func useCPUs(t *testing.T, n int) {
	old := cpus
	cpus = n
	t.Cleanup(func() { cpus = old })
}

const us = time.Microsecond

func TestSpinKeepsFastTraffic(t *testing.T) {
	useCPUs(t, 2)
	var s spin
	var now time.Duration
	if hits, _ := traffic(&s, &now, 1000, 15*us, 55*us); hits < 980 {
		t.Errorf("%d of 1000 polls hit", hits)
	}
	useCPUs(t, 1)
	s = spin{}
	if hits, _ := traffic(&s, &now, 1000, 15*us, 55*us); hits != 0 {
		t.Errorf("%d polls on a single processor", hits)
	}
}

func TestSpinLeavesSlowTraffic(t *testing.T) {
	useCPUs(t, 2)
	for _, gap := range []time.Duration{120 * us, 180 * us, 300 * us, 5 * time.Millisecond} {
		var s spin
		var now time.Duration
		traffic(&s, &now, 100, 15*us, 55*us) // on
		begin := now
		_, wasted := traffic(&s, &now, 100_000, gap, 55*us)
		if s.state == spinOn {
			t.Errorf("gap %v: still polling", gap)
		}
		if share := float64(wasted) / float64(now-begin); share > 0.005 {
			t.Errorf("gap %v: %.2f%% of the time polled in vain", gap, 100*share)
		}
	}
}

// Two peers that both sleep wake each other by turns; both must find out that
// polling together is faster.
func TestSpinStartsTogether(t *testing.T) {
	useCPUs(t, 2)
	const work, wake = 10 * us, 55 * us
	var now time.Duration
	var peers [2]spin
	var empty [2]time.Duration // when each last ran out of datagrams
	polled := 0
	for i := range 400 {
		p := &peers[i%2]
		gap := now - empty[i%2] + work
		if gap <= p.budget() {
			now += work
			p.hit(now, gap)
			polled++
		} else {
			if b := p.budget(); b > 0 {
				p.miss(empty[i%2] + b)
			}
			now += work + wake
			p.woke(now, gap+wake)
		}
		empty[i%2] = now
	}
	if polled < 300 {
		t.Errorf("%d of 400 datagrams met a poll", polled)
	}
}
