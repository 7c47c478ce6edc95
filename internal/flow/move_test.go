package flow

import (
	"testing"
	"time"
)

// TestMoved: what was in flight on the old path comes back as lost, once, and
// acknowledgements of it teach nothing.
func TestMoved(t *testing.T) {
	const ms = Time(time.Millisecond)
	f, l := newBench(4)
	_ = f.OnAck(22*ms, ack(1, 1), l)
	l.take()
	f.Moved(30*ms, 100*time.Millisecond, 1400, nil, l)
	if got := l.take(); got != "-2 -3 -4" || f.InFlight() != 0 || f.RTT() != 100*time.Millisecond || f.MTU() != BaseMTU {
		t.Fatalf("%q, %d in flight, round trip %v", got, f.InFlight(), f.RTT())
	}
	if pn := f.NextPN(); pn != 5 {
		t.Errorf("packet numbers go on at %d", pn)
	}
	f.StartBurst(31 * ms)
	f.Sent(31*ms, Record{Off: 5, Kind: Data, Size: 1000})
	if err := f.OnAck(32*ms, ack(1, 4), l); err != nil || l.take() != "" || f.RTT() != 100*time.Millisecond || f.Stats().Spurious != 0 {
		t.Errorf("a late acknowledgement: %v, round trip %v", err, f.RTT())
	}
	if _ = f.OnAck(130*ms, ack(1, 5), l); l.take() != "+5" || f.InFlight() != 0 {
		t.Error("the new path does not work")
	}
}

// TestReinject: the owner learns once what is to be repaired elsewhere, and
// still learns what arrived after all.
func TestReinject(t *testing.T) {
	const ms = Time(time.Millisecond)
	f, l := newBench(4)
	f.Reinject(l)
	f.Reinject(l)
	if got := l.take(); got != "-1 -2 -3 -4" || f.InFlight() != 4000 {
		t.Fatalf("%q, %d in flight", got, f.InFlight())
	}
	_ = f.OnAck(24*ms, ack(2, 3), l)
	if got := l.take(); got != "+2 +3" || f.InFlight() != 2000 {
		t.Error(got)
	}
	_ = f.OnAck(90*ms, ack(2, 4), l) // overtakes 1, which the owner knows of
	if got := l.take(); got != "+4" || f.InFlight() != 0 || f.lostBytes != 0 {
		t.Errorf("%q, %d in flight, %d lost for the model", got, f.InFlight(), f.lostBytes)
	}
}

// TestSuspicion: a flow that is helped reports silence about a probe timeout
// after its oldest packet, repeats no data, and asks ever more seldom.
func TestSuspicion(t *testing.T) {
	f, l := newBench(4)
	f.Helped = true
	at := f.Deadline(false, true)
	if want := Time(time.Millisecond).Add(f.rtt.pto()); at != want {
		t.Errorf("suspect at %v, want %v", at, want)
	}
	if f.Timeout(at-1, l) || !f.Timeout(at, l) || l.take() != "" || f.InFlight() != 4000 {
		t.Fatal("silence is not reported")
	}
	last, pause := at, time.Duration(0)
	for f.lastSent < Time(10*time.Second) {
		at = f.Deadline(false, true)
		if d := at.Sub(last); d < pause || d > eagerProbe {
			t.Fatalf("a pause of %v after one of %v", d, pause)
		} else {
			pause = d
		}
		if last = at; !f.Timeout(at, l) {
			t.Fatal("not silent")
		}
	}
	f.Idle = true
	if d := f.Deadline(false, true).Sub(last); d != idleProbe {
		t.Errorf("an idle flow asks after %v", d)
	}
	// A timer that is far too late says nothing of the peer, once.
	g, l := newBench(4)
	g.Helped = true
	late := g.Deadline(false, true).Add(time.Second)
	if g.Timeout(late, l) || g.Deadline(false, true) != late.Add(ackSlack) || !g.Timeout(late.Add(ackSlack), l) {
		t.Error("a late timer")
	}
}

// TestOvertake: only what a copy would overtake leaves again.
func TestOvertake(t *testing.T) {
	f, l := newBench(10)
	f.Overtake(Time(11*time.Millisecond), 5*time.Millisecond, 9, l)
	if got := l.take(); got != "-7 -8" { // half a round trip is 10 ms: sent after 6 ms
		t.Error(got)
	}
}
