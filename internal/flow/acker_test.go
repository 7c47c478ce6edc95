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

// TestAckInConversation: where an answer follows soon after an acknowledgement
// that left alone, the next acknowledgement waits for the answer; and no longer
// so once one has waited in vain.
func TestAckInConversation(t *testing.T) {
	var a acker
	now, pn := Time(time.Second), uint64(0)
	// talk has a request come, and answers after a while. It returns how many
	// acknowledgements left alone.
	talk := func(answer time.Duration) (alone int) {
		a.arrived(now, pn, 100, true)
		pn++
		for end := now.Add(answer); now < end; now = now.Add(100 * time.Microsecond) {
			if a.wants(now) {
				a.append(nil, now, 0)
				alone++
			}
		}
		if a.owed {
			a.append(nil, now, 0) // with the answer
		}
		a.spoke(now)
		return alone
	}
	for i, step := range []struct {
		answer time.Duration
		alone  int
	}{
		{500 * time.Microsecond, 0},
		{3 * time.Millisecond, 1}, // it could have waited
		{3 * time.Millisecond, 0},
		{3 * time.Millisecond, 0},
		{20 * time.Millisecond, 1}, // in vain
		{2 * time.Millisecond, 1},  // so it does not wait any more
		{2 * time.Millisecond, 0},  // until it could have
	} {
		if got := talk(step.answer); got != step.alone {
			t.Errorf("step %d, answered after %v: %d acknowledgements left alone, want %d", i, step.answer, got, step.alone)
		}
	}
}
