package serval

import (
	"time"

	"github.com/serval-net/serval/internal/flow"
)

const (
	// openGrace is how long the third packet waits for the application's first
	// write to ride along.
	openGrace = 500 * time.Microsecond
	openRetry = 200 * time.Millisecond
)

// opening is the dialler's third packet (OPEN): sent with the first data,
// repeated until the peer shows, by any authentic packet, that it has it. The
// 2012 prototype sent it once and wedged when it was lost. The zero value has
// nothing to send.
type opening struct {
	pkt   []byte
	next  flow.Time
	retry time.Duration
	begun bool // the first copy left
}

func (o *opening) start(now flow.Time, pkt []byte, rtt time.Duration) {
	*o = opening{pkt: pkt, next: now.Add(openGrace), retry: max(2*rtt, openRetry)}
}

func (o *opening) confirmed() { o.pkt = nil }

// again makes the packet leave with the next pump: the peer repeated itself.
func (o *opening) again(now flow.Time) { o.next = now }

// take puts the packet at the head of buf if it is due, or if it has not left
// yet, since whatever leaves first must be preceded by it.
func (o *opening) take(buf []byte, now flow.Time) int {
	if o.pkt == nil || o.begun && now < o.next {
		return 0
	}
	o.begun = true
	o.next = now.Add(o.retry)
	o.retry = min(2*o.retry, 5*time.Second)
	return copy(buf, o.pkt)
}

func (o *opening) deadline() flow.Time {
	if o.pkt == nil {
		return flow.Never
	}
	return o.next
}
