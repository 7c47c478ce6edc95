package flowset

import (
	"testing"
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// TestUnreadWindow: however fast bytes come, what nobody reads is no reason to
// take more of them.
func TestUnreadWindow(t *testing.T) {
	var w window
	w.init(1<<20, 64<<20)
	for next := uint64(0); next < w.edge; {
		next += 1200
		w.arrive(flow.Time(0), 1200, next, 0, time.Second)
	}
	if w.size != 1<<20 {
		t.Errorf("the window has grown to %d bytes", w.size)
	}
	w.consume(1 << 20)
	for next := uint64(1 << 20); next < w.edge; {
		next += 1200
		w.arrive(flow.Time(0), 1200, next, 0, time.Second)
	}
	if w.size < 2<<20 || w.size > 4<<20 {
		t.Errorf("after a megabyte was read the window is %d bytes, want 2 to 4 MiB", w.size)
	}
}
