package flow

import (
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

func TestAcker(t *testing.T) {
	const ms = Time(time.Millisecond)
	type step struct {
		at        Time
		pn        uint64 // 0: only ask
		size      int
		eliciting bool
		wants     bool
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"one packet waits", []step{{ms, 1, 1200, true, false}, {ms + ms/2, 0, 0, false, false}, {2 * ms, 0, 0, false, true}}},
		{"acknowledgements are not acknowledged", []step{{ms, 1, 60, false, false}, {9 * ms, 0, 0, false, false}}},
		{"much at once", []step{{ms, 1, ackBytes - 1, true, false}, {ms, 2, 1, true, true}}},
		{"a gap", []step{{ms, 1, 1200, true, false}, {ms, 3, 1200, true, true}}},
		{"a late packet", []step{{ms, 2, 1200, true, false}, {ms, 1, 1200, true, true}}},
		{"a gap that asks for nothing", []step{{ms, 1, 60, false, false}, {ms, 3, 60, false, false}}},
	} {
		var a acker
		for i, s := range tc.steps {
			if s.pn > 0 {
				a.arrived(s.at, s.pn, s.size, s.eliciting)
			}
			if got := a.wants(s.at); got != s.wants {
				t.Errorf("%s: step %d: wants %v", tc.name, i, got)
			}
		}
	}
}

func TestAckFrameOfAcker(t *testing.T) {
	var a acker
	for pn := uint64(1); pn < 400; pn++ {
		if pn%3 != 0 {
			a.arrived(Time(pn)*1000, pn, 100, true)
		}
	}
	var f sal.Frame
	b := a.append(nil, Time(398*1000+5000), 0)
	if _, err := sal.ParseFrame(b, &f); err != nil {
		t.Fatal(err)
	}
	if f.Ack.N != 64 || f.Ack.Ranges[0].Last != 398 || f.Ack.Delay != 5*time.Microsecond {
		t.Errorf("N %d, first range %v, delay %v", f.Ack.N, f.Ack.Ranges[0], f.Ack.Delay)
	}
	if a.wants(Never) || a.owed {
		t.Error("still owes an acknowledgement")
	}
}
