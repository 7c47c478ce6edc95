package netstack

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// clock is the stack's idea of time: it stands still. TCP's peer is local and
// lossless, so retransmission, probing, keep-alive and give-up timers could only
// do harm; none of them ever fires here, and an unacknowledged segment waits as
// long as the network needs. Only what is due at once, the end of TIME_WAIT,
// runs.
type clock struct{ running sync.WaitGroup }

var frozen = tcpip.MonotonicTime{}.Add(time.Hour)

func (*clock) Now() time.Time                    { return time.Now() }
func (*clock) NowMonotonic() tcpip.MonotonicTime { return frozen }

func (c *clock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	if d <= 0 {
		c.running.Go(f)
	}
	return noTimer{}
}

// wait returns once everything AfterFunc started has ended.
func (c *clock) wait() { c.running.Wait() }

// noTimer is a timer that has either run already or never will.
type noTimer struct{}

func (noTimer) Stop() bool          { return false }
func (noTimer) Reset(time.Duration) {}
