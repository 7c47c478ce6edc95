package flow

import "testing"

// TestSentLog keeps a sliding window of packets in flight, in bursts of varying
// length, over every growth of the rings.
func TestSentLog(t *testing.T) {
	l := sentLog{base: 1, next: 1}
	settle := uint64(1)
	for i := range 20000 {
		l.newBurst(burst{sent: Time(i)})
		for range i % 5 {
			l.add(Record{Off: l.next, Size: uint16(l.next), state: inFlight, N: uint16(i)})
		}
		window := uint64(i % 3000)
		for settle < l.next && l.next-settle > window {
			r := l.rec(settle)
			if r.Off != settle || l.burst(r).sent%65536 != Time(r.N) {
				t.Fatalf("packet %d is recorded as %+v of %+v", settle, *r, *l.burst(r))
			}
			r.state = acked
			settle++
		}
		l.advance()
		if l.base != settle {
			t.Fatalf("base %d, want %d", l.base, settle)
		}
	}
	if n := len(l.recs); n > 8192 {
		t.Errorf("%d records for a window of 3000", n)
	}
}

func TestSentLogIdle(t *testing.T) {
	l := sentLog{base: 1, next: 1}
	for range 1000 { // acknowledgements only
		l.add(Record{Size: 60})
	}
	if l.recs != nil || l.base != 1001 {
		t.Errorf("%d records for nothing in flight, base %d", len(l.recs), l.base)
	}
	l.newBurst(burst{})
	for range 3 * keepRecords {
		l.add(Record{state: inFlight})
	}
	for pn := l.base; pn < l.next; pn++ {
		l.rec(pn).state = acked
	}
	l.advance()
	if l.recs != nil || l.bursts != nil {
		t.Error("a drained log holds memory")
	}
	l.newBurst(burst{sent: 7})
	l.add(Record{state: inFlight})
	if l.burst(l.rec(l.base)).sent != 7 {
		t.Error("the log is unusable after it was let go of")
	}
}
