package serval

import (
	"time"

	"github.com/serval-net/serval/internal/flow"
)

const (
	// firstProbe is how long after the last sign of activity an otherwise
	// silent connection asks whether the peer is still there; the interval
	// then doubles up to keepAlive, which also holds NAT bindings.
	firstProbe = 2 * time.Second
	keepAlive  = 15 * time.Second
)

// liveness asks a silent peer for a sign of life, often after activity and
// seldom later, so that a reader whose peer died learns of it and an idle
// connection costs next to nothing.
type liveness struct {
	last        flow.Time // last packet heard
	every       time.Duration
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

// active records that the application sent or received something; probes, and
// answers to them, are not that.
func (v *liveness) active(now flow.Time) {
	v.every = firstProbe
	v.next = min(v.next, now.Add(firstProbe))
}

func (v *liveness) deadline() flow.Time {
	if v.next == 0 {
		return flow.Never
	}
	return v.next
}

// due reports whether to probe now.
func (v *liveness) due(now flow.Time) bool {
	if v.next == 0 || now < v.next {
		return false
	}
	if v.closedSince != 0 { // is it really gone?
		v.next = now.Add(deadProbe)
		return true
	}
	if quiet := v.last.Add(v.every); now < quiet {
		v.next = quiet // there was traffic meanwhile
		return false
	}
	v.every = min(2*v.every, keepAlive)
	v.next = now.Add(v.every)
	return true
}
