package flow

import (
	"cmp"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

const (
	// maxAckDelay is how long an acknowledgement waits for a packet to ride on.
	maxAckDelay = time.Millisecond
	// ackBytes is how much may arrive before an acknowledgement leaves at once:
	// often enough to clock a sender on a fast LAN, seldom enough to cost
	// nothing.
	ackBytes = 192 << 10
	// talkAckDelay is how long it waits in a conversation, where an answer is due
	// to leave soon: less than what a sender believes in, see rtt.pto.
	talkAckDelay = 4 * time.Millisecond
)

const (
	leastAckDelay = 50 * time.Microsecond
	mostAckDelay  = 25 * time.Millisecond
)

// acker decides when and what to acknowledge.
type acker struct {
	rx       received
	pending  int  // bytes of ack-eliciting packets since the last acknowledgement
	owed     bool // there is something to acknowledge
	now      bool // it should leave at once
	due      Time // and no later than this
	newestAt Time // arrival of the highest packet number

	every int           // what the peer asked for; 0 means ackBytes
	delay time.Duration // and 0 maxAckDelay

	// An acknowledgement that left alone just before an answer did has cost two
	// packets where one would do. So the next waits for longer, until one has
	// waited in vain.
	alone Time // when one left alone; 0 if none did since we spoke
	talks bool
}

// wait is how long an acknowledgement waits for a packet to ride on.
func (a *acker) wait() time.Duration {
	if a.delay == 0 && a.talks {
		return talkAckDelay
	}
	return cmp.Or(a.delay, maxAckDelay)
}

// spoke records that a packet of ours left that is to be acknowledged.
func (a *acker) spoke(now Time) {
	if a.alone != 0 && now.Sub(a.alone) < talkAckDelay-maxAckDelay {
		a.talks = true
	}
	a.alone = 0
}

// ask takes the peer's wish. It may slow us down or speed us up within reason.
func (a *acker) ask(bytes uint64, delay time.Duration) {
	a.every = int(min(max(bytes, 2*BaseMTU), 16*ackBytes))
	a.delay = min(max(delay, leastAckDelay), mostAckDelay)
}

// arrived records an authenticated packet.
func (a *acker) arrived(now Time, pn uint64, size int, eliciting bool) {
	top, ok := a.rx.largest()
	gap := a.rx.add(pn)
	if !ok || pn > top {
		a.newestAt = now
	}
	if !eliciting {
		return
	}
	if !a.owed {
		a.owed = true
		a.due = now.Add(a.wait())
	}
	a.pending += size
	if a.pending >= cmp.Or(a.every, ackBytes) || gap {
		a.now = true
	}
}

// wants reports whether an acknowledgement should leave now.
func (a *acker) wants(now Time) bool {
	return a.owed && (a.now || now >= a.due)
}

// append adds an ACK frame to b and takes everything as acknowledged.
func (a *acker) append(b []byte, now Time, index uint8) []byte {
	var desc [64]sal.PNRange
	n := 0
	for i := len(a.rx.ranges) - 1; i >= 0 && n < len(desc); i-- {
		desc[n] = a.rx.ranges[i]
		n++
	}
	if n == 0 {
		return b
	}
	if a.owed && !a.now && now >= a.due {
		a.alone, a.talks = now, false
	}
	a.owed, a.now, a.pending = false, false, 0
	return sal.AppendAck(b, index, now.Sub(a.newestAt), desc[:n])
}
