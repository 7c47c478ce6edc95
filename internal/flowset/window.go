package flowset

import (
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// window grants the peer credit and grows with what the path and the
// application show they can use, as QUIC implementations do: an idle or slow
// connection is worth a megabyte, a long fat one as much as allowed.
type window struct {
	edge     uint64 // granted: the peer may send below it
	consumed uint64 // read by the application
	size     uint64
	max      uint64
	since    flow.Time // start of the current measurement
	mark     uint64    // consumed by then
	dirty    bool      // a WINDOW frame is owed
}

func (w *window) init(size, limit uint64) {
	w.size, w.max, w.edge = size, max(size, limit), size
}

// consume records that the application read n bytes. It reports whether the
// peer should hear of it now.
func (w *window) consume(now flow.Time, n int, rtt time.Duration) bool {
	w.consumed += uint64(n)
	if w.consumed+w.size < w.edge+w.size/4 {
		return false
	}
	// Half a window used up within two round trips: the window is the limit.
	if w.consumed-w.mark >= w.size/2 {
		if w.since != 0 && now.Sub(w.since) < 2*max(rtt, time.Millisecond) {
			w.size = min(w.size*2, w.max)
		}
		w.since, w.mark = now, w.consumed
	}
	w.edge = w.consumed + w.size
	w.dirty = true
	return true
}
