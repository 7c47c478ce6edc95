package flow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

// ledger is an Owner that writes down what it learns.
type ledger struct{ log []string }

func (l *ledger) PacketAcked(_ *Flow, r Record) { l.log = append(l.log, fmt.Sprintf("+%d", r.Off)) }
func (l *ledger) PacketLost(_ *Flow, r Record)  { l.log = append(l.log, fmt.Sprintf("-%d", r.Off)) }

// take returns what was learnt since the last call.
func (l *ledger) take() string {
	s := strings.Join(l.log, " ")
	l.log = nil
	return s
}

// newBench returns a flow of 20 ms round trip with n packets of 1000 bytes sent, a
// millisecond apart from 1 ms on; Off is the packet number.
func newBench(n int) (*Flow, *ledger) {
	f := New(0, Config{RTT: 20 * time.Millisecond, LinkMTU: BaseMTU})
	for i := 1; i <= n; i++ {
		now := Time(i) * Time(time.Millisecond)
		f.StartBurst(now)
		f.Sent(now, Record{Off: uint64(i), Kind: Data, Size: 1000})
	}
	return f, &ledger{}
}

// ack builds a frame from pairs of first and last, descending.
func ack(pairs ...uint64) *sal.AckFrame {
	var a sal.AckFrame
	for i := 0; i+1 < len(pairs); i += 2 {
		a.Ranges[a.N] = sal.PNRange{First: pairs[i], Last: pairs[i+1]}
		a.N++
	}
	return &a
}

func TestLossDetection(t *testing.T) {
	const ms = Time(time.Millisecond)
	type step struct {
		at   Time          // in ms
		ack  *sal.AckFrame // nil: a timeout
		want string        // what the owner learns
		next Time          // deadline after it, in ms, rounded down
	}
	for _, tc := range []struct {
		name  string
		sent  int
		steps []step
	}{
		{"all arrive", 3, []step{{25, ack(1, 3), "+1 +2 +3", Never}}},
		{"packet threshold", 5, []step{{26, ack(2, 4), "+2 +3 +4 -1", 67}, {28, ack(2, 5), "+5", Never}}},
		{"two later are not enough", 3, []step{{24, ack(2, 3), "+2 +3", 24}, {25, nil, "-1", Never}}},
		{"time threshold", 2, []step{{22, ack(2, 2), "+2", 23}, {23, nil, "", 23}, {24, nil, "-1", Never}}},
		{"silence: the oldest two again", 4, []step{{34, nil, "", 74}, {75, nil, "-1 -2", 215}}},
		{"long silence: all is lost", 7, []step{
			{77, nil, "-1 -2", 217}, {217, nil, "-3 -4", 497}, {497, nil, "-5 -6 -7", Never}}},
		{"acknowledged twice", 2, []step{{22, ack(1, 2), "+1 +2", Never}, {23, ack(1, 2), "", Never}}},
		{"overlapping the past", 4, []step{{22, ack(1, 2), "+1 +2", 64}, {24, ack(1, 4), "+3 +4", Never}}},
	} {
		f, l := newBench(tc.sent)
		for i, s := range tc.steps {
			if s.ack != nil {
				if err := f.OnAck(s.at*ms, s.ack, l); err != nil {
					t.Fatal(err)
				}
			} else {
				f.Timeout(s.at*ms, l)
			}
			next := f.Deadline(false, true)
			if next != Never {
				next /= ms
			}
			if got := l.take(); got != s.want || next != s.next && s.next != 0 {
				t.Errorf("%s, step %d: %q, next at %d; want %q, %d", tc.name, i, got, next, s.want, s.next)
			}
		}
		if f.inflight < 0 || f.inflight != 1000*countInFlight(f) {
			t.Errorf("%s: %d bytes in flight, %d packets", tc.name, f.inflight, countInFlight(f))
		}
	}
}

func countInFlight(f *Flow) (n int) {
	for pn := f.log.base; pn < f.log.next; pn++ {
		if f.log.rec(pn).state == inFlight {
			n++
		}
	}
	return n
}

// TestSpurious: a packet that arrives after it was declared lost widens the
// tolerance, so that the next one as late is waited for.
func TestSpurious(t *testing.T) {
	const ms = Time(time.Millisecond)
	f, l := newBench(10)
	_ = f.OnAck(26*ms, ack(2, 4), l)
	if got := l.take(); got != "+2 +3 +4 -1" {
		t.Fatal(got)
	}
	_ = f.OnAck(27*ms, ack(1, 4), l)
	if f.Stats().Spurious != 1 || f.loss.threshold <= packetThreshold || f.loss.reorder == 0 {
		t.Fatalf("%+v", f.loss)
	}
	_ = f.OnAck(29*ms, ack(6, 8, 1, 4), l)
	if got := l.take(); got != "+6 +7 +8" {
		t.Errorf("5 was not waited for: %s", got)
	}
	_ = f.OnAck(30*ms, ack(1, 10), l)
	if got := l.take(); got != "+5 +9 +10" {
		t.Error(got)
	}
}

func TestHostileAcks(t *testing.T) {
	const ms = Time(time.Millisecond)
	f, l := newBench(5)
	for _, a := range []*sal.AckFrame{ack(6, 6), ack(1, 1<<60), ack(100, 200, 1, 5)} {
		if err := f.OnAck(25*ms, a, l); err != ErrAckUnsent {
			t.Errorf("%v: %v", a.Ranges[0], err)
		}
	}
	if err := f.OnAck(25*ms, ack(), l); err != nil || l.take() != "" {
		t.Error("an empty acknowledgement does something")
	}
	a := ack(1, 5)
	a.Delay = time.Hour // claims to have waited longer than the packet was under way
	if err := f.OnAck(45*ms, a, l); err != nil {
		t.Fatal(err)
	}
	if f.RTT() < 20*time.Millisecond || f.model.minRTT < 20*time.Millisecond {
		t.Errorf("a false delay made the round trip %v, least %v", f.RTT(), f.model.minRTT)
	}
	if err := f.OnAck(46*ms, ack(0, 5), l); err != nil || f.inflight != 0 {
		t.Error("packet number 0", err, f.inflight)
	}
}

// TestProbeTimeoutLeaves: after silence data leaves in spite of a full window,
// ever more seldom, and the path falls back to packets that every path carries.
func TestProbeTimeoutLeaves(t *testing.T) {
	f, l := newBench(0)
	f.mtu.acked(1472)
	now := Time(time.Millisecond)
	for f.Budget(now) > 0 {
		f.StartBurst(now)
		f.Sent(now, Record{Kind: Data, Size: 1400})
		f.pace.tokens = 1e6
	}
	var gaps []time.Duration
	for range 5 {
		d := f.Deadline(false, true)
		gaps = append(gaps, d.Sub(now))
		now = d
		f.Timeout(now, l)
		if f.Budget(now) < f.MTU() {
			t.Fatal("nothing may leave after silence")
		}
		for range 2 {
			f.StartBurst(now)
			f.Sent(now, Record{Kind: Data, Size: 1400})
		}
	}
	for i := 1; i < len(gaps); i++ {
		if gaps[i] != min(2*gaps[i-1], eagerProbe) {
			t.Errorf("waits %v do not double up to %v", gaps, eagerProbe)
		}
	}
	if f.MTU() != BaseMTU || f.Stats().Timeouts != 5 {
		t.Errorf("after silence: packets of %d, %d timeouts", f.MTU(), f.Stats().Timeouts)
	}
}

// TestSilenceWhileSending: packets that go on leaving do not keep silence from
// being noticed, although none of them fills the window.
func TestSilenceWhileSending(t *testing.T) {
	const ms = Time(time.Millisecond)
	f, l := newBench(1)
	for now := 2 * ms; now < Time(time.Second); now += ms {
		f.StartBurst(now)
		f.Sent(now, Record{Kind: Dgram, Size: 100})
		f.Timeout(now, l)
		if f.Timeouts() == 2 {
			t.Logf("silent twice after %v", time.Duration(now))
			return
		}
	}
	t.Error("a second of silence is not noticed")
}
