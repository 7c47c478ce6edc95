package emu

import (
	"math"
	"testing"
	"time"
)

// drain runs a line over n packets 1 ms apart and returns those that came out,
// in order, each with the time it was held.
func drain(cfg Config, n int) (out []packet, held []time.Duration) {
	const gap = time.Millisecond
	l := newLine(cfg)
	arrived := 0
	for len(out) < n {
		now := l.next()
		if arrived < n {
			now = min(now, time.Duration(arrived)*gap)
		}
		for arrived < n && time.Duration(arrived)*gap <= now {
			l.add(now, uint32(arrived), []byte{1})
			arrived++
		}
		for p, ok := l.pop(now); ok; p, ok = l.pop(now) {
			out = append(out, p)
			held = append(held, now-time.Duration(p.id)*gap)
		}
	}
	return out, held
}

func TestLineDelaysInOrder(t *testing.T) {
	out, held := drain(Config{Delay: 20 * time.Millisecond}, 5000)
	if len(out) != 5000 {
		t.Fatalf("%d of 5000 packets came out", len(out))
	}
	for i, p := range out {
		if p.id != uint32(i) || held[i] != 20*time.Millisecond || p.drop {
			t.Fatalf("packet %d: id %d, held %v, drop %v", i, p.id, held[i], p.drop)
		}
	}
}

func TestLineJitterKeepsOrder(t *testing.T) {
	out, held := drain(Config{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond}, 5000)
	low, high := never, time.Duration(0)
	for i, p := range out {
		if p.id != uint32(i) {
			t.Fatalf("packet %d left in place %d", p.id, i)
		}
		low, high = min(low, held[i]), max(high, held[i])
	}
	if low < 15*time.Millisecond || high > 25*time.Millisecond || high-low < 5*time.Millisecond {
		t.Errorf("held from %v to %v, want most of 15ms to 25ms", low, high)
	}
}

func TestLineLossIsPerPacket(t *testing.T) {
	const n, loss = 100_000, 0.01
	out, _ := drain(Config{Loss: loss}, n)
	dropped, pairs := 0, 0
	for i, p := range out {
		if p.drop {
			dropped++
			if i > 0 && out[i-1].drop {
				pairs++
			}
		}
	}
	sigma := math.Sqrt(n * loss * (1 - loss))
	if d := float64(dropped); math.Abs(d-n*loss) > 5*sigma {
		t.Errorf("dropped %v of %d packets, want about %v", d, n, n*loss)
	}
	if pairs > 40 { // expected n*loss*loss = 10
		t.Errorf("%d neighbours dropped together: loss comes in bursts", pairs)
	}
}

func TestLineReorders(t *testing.T) {
	out, held := drain(Config{Delay: 10 * time.Millisecond, Reorder: 0.1}, 5000)
	early := 0
	for i := range out {
		if held[i] == 0 {
			early++
		}
	}
	if early < 400 || early > 600 {
		t.Errorf("%d of 5000 packets overtook, want about 500", early)
	}
}

func TestLineDuplicates(t *testing.T) {
	out, _ := drain(Config{Delay: time.Millisecond, Duplicate: 0.1}, 5000)
	copies := 0
	for _, p := range out {
		if p.copy != nil {
			copies++
		}
	}
	if copies < 400 || copies > 600 {
		t.Errorf("%d of 5000 packets were duplicated, want about 500", copies)
	}
}

func TestLineChangesLive(t *testing.T) {
	l := newLine(Config{Delay: 100 * time.Millisecond})
	l.add(0, 1, nil)
	l.set(Config{Delay: 10 * time.Millisecond})
	l.add(time.Millisecond, 2, nil)
	if l.next() != 100*time.Millisecond {
		t.Errorf("a held packet leaves at %v", l.next())
	}
	for want := range uint32(2) {
		if p, ok := l.pop(100 * time.Millisecond); !ok || p.id != want+1 {
			t.Errorf("packet %d left in place %d, %v", p.id, want, ok)
		}
	}
	l.add(200*time.Millisecond, 3, nil)
	if l.next() != 210*time.Millisecond {
		t.Errorf("with the new delay a packet leaves at %v", l.next())
	}
	l.set(Config{Blackhole: true})
	if p, ok := l.pop(210 * time.Millisecond); !ok || !p.drop {
		t.Errorf("a packet got out of a blackhole: %+v, %v", p, ok)
	}
}

func TestConfigValidate(t *testing.T) {
	for _, bad := range []Config{{Delay: -1}, {Jitter: 1}, {Loss: 1.5}, {Reorder: -0.1}, {Duplicate: 2}, {Loss: math.NaN()}, {Limit: -1}} {
		if bad.validate() == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
	if err := (Config{}).validate(); err != nil {
		t.Errorf("zero Config: %v", err)
	}
}
