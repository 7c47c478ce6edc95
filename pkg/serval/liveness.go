package serval

import (
	"time"

	"github.com/serval-net/serval/internal/flow"
)

const (
	// firstProbe is how long after the last sign of activity an otherwise
	// silent connection asks whether the peer is still there; the interval
	// then doubles up to keepAlive, which also holds NAT bindings. A stream in
	// full flow (bulkBytes since the last look) that stops is suspicious sooner.
	firstProbe = 5 * time.Second
	bulkProbe  = time.Second
	bulkBytes  = 8 << 20
	keepAlive  = 15 * time.Second
)

// liveness asks a silent peer for a sign of life, often after activity and
// seldom later, so that a reader whose peer died learns of it and an idle
// connection costs next to nothing.
type liveness struct {
	last        flow.Time // last packet heard
	every       time.Duration
	bytes       int // of the application, since the last look
	next        flow.Time
	closedSince flow.Time // first report that the peer's port is closed; see refused
	reports     int
}

func (v *liveness) start(now flow.Time) {
	v.every, v.last, v.next = firstProbe, now, now.Add(firstProbe)
}

// heard records an authentic packet, whatever it brought.
func (v *liveness) heard(now flow.Time) {
	v.last = now
	v.closedSince, v.reports = 0, 0
}

// active records that the application sent or received n bytes; probes, and
// answers to them, are not that.
func (v *liveness) active(now flow.Time, n int) {
	v.bytes += n
	v.every = firstProbe
	if v.bytes >= bulkBytes {
		v.every = bulkProbe
	}
	v.next = min(v.next, now.Add(v.every))
}

func (v *liveness) deadline() flow.Time {
	if v.next == 0 {
		return flow.Never
	}
	return v.next
}

// due reports whether to probe now, and after how much silence.
func (v *liveness) due(now flow.Time) (after time.Duration, ok bool) {
	if v.next == 0 || now < v.next {
		return 0, false
	}
	if v.closedSince != 0 { // is it really gone?
		v.next = now.Add(deadProbe)
		return 0, true
	}
	if quiet := v.last.Add(v.every); now < quiet {
		v.next, v.bytes = quiet, 0 // there was traffic meanwhile
		return 0, false
	}
	after = v.every
	v.every = min(2*v.every, keepAlive)
	v.next = now.Add(v.every)
	return after, true
}
