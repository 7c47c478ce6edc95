package flow

import (
	"testing"
	"time"
)

// TestPacer sends at a rate with a timer that is late at times and checks that
// the rate is kept and no burst exceeds the bucket.
func TestPacer(t *testing.T) {
	for _, tc := range []struct {
		rate float64
		late time.Duration // every tenth time
	}{
		{125e3, 0}, {12.5e6, 0}, {12.5e6, time.Millisecond}, {125e6, 500 * time.Microsecond}, {1.25e9, 0},
	} {
		var p pacer
		now, sent := Time(1), 0
		p.refill(now, tc.rate)
		p.tokens = 0
		for i := 0; now < Time(time.Second); i++ {
			at := p.next(tc.rate)
			if at < now {
				t.Fatalf("rate %.0f: next is in the past", tc.rate)
			}
			if now = at; i%10 == 0 {
				now = now.Add(tc.late)
			}
			p.refill(now, tc.rate)
			burst := 0
			for p.tokens > 0 {
				p.spend(1250)
				burst += 1250
			}
			if burst > int(p.depth(tc.rate))+1250 {
				t.Fatalf("rate %.0f: a burst of %d", tc.rate, burst)
			}
			sent += burst
		}
		if got := float64(sent) / tc.rate; got < 0.97 || got > 1.03 {
			t.Errorf("rate %.0f, late %v: sent %.3f of it", tc.rate, tc.late, got)
		}
	}
}

func TestPacerAfterIdle(t *testing.T) {
	var p pacer
	p.refill(1, 1e6)
	p.refill(Time(time.Hour), 1e6)
	if p.tokens > p.depth(1e6) {
		t.Errorf("an hour of silence saved up %v bytes", p.tokens)
	}
}
