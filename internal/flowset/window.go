package flowset

import (
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// window grants the peer credit and grows with what the path and the
// application show they can use: an idle or slow connection is worth a
// megabyte, a long fat one as much as allowed.
//
// Credit must never be what limits a sender. On a lossy path bytes wait for
// repairs, of which some are lost again: up to two round trips of data. One
// more is under way, and another leaves before the peer hears of new credit.
// So the window is kept above four times what arrives in a round trip, as long
// as the application keeps up, and within a multiple of what it has read: what
// nobody reads must not make us hold more.
type window struct {
	edge     uint64 // granted: the peer may send below it
	arrived  uint64 // received from the peer, duplicates too
	consumed uint64 // read by the application
	size     uint64
	max      uint64
	since    flow.Time // start of the current measurement
	mark     uint64    // arrived by then
	dirty    bool      // a WINDOW frame is owed
}

func (w *window) init(size, limit uint64) {
	w.size, w.max, w.edge = size, max(size, limit), size
}

// arrive records that n bytes arrived, in order or not, while the stream
// stands at next and held bytes wait for their turn: of credit that they take
// up, the peer has no use.
func (w *window) arrive(now flow.Time, n int, next uint64, held int, rtt time.Duration) {
	w.arrived += uint64(n)
	if now.Sub(w.since) > max(rtt, time.Millisecond) {
		w.since, w.mark = now, w.arrived-uint64(n)
	}
	if w.arrived-w.mark <= w.size/4 && uint64(held) <= w.size/4 || w.size == w.max || next-w.consumed > w.size/4 || w.size > 16*w.consumed {
		return
	}
	w.size = min(w.size*2, w.max)
	w.since, w.mark = now, w.arrived
	w.grant()
}

// consume records that the application read n bytes. It reports whether the
// peer should hear of new credit now.
func (w *window) consume(n int) bool {
	w.consumed += uint64(n)
	if w.consumed+w.size < w.edge+w.size/8 {
		return false
	}
	w.grant()
	return true
}

func (w *window) grant() {
	w.edge = max(w.edge, w.consumed+w.size)
	w.dirty = true
}
