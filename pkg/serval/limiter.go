package serval

import (
	"sync"
	"time"
)

// limiter allows a number of events in each second. The zero value is
// ready.
type limiter struct {
	mu    sync.Mutex
	since time.Time
	used  int
}

func (l *limiter) allow(now time.Time) bool { return l.allowUpTo(now, resetsPerSecond) }

// allowUpTo is allow with a number of the caller's.
func (l *limiter) allowUpTo(now time.Time, perSecond int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) >= time.Second {
		l.since, l.used = now, 0
	}
	l.used++
	return l.used <= perSecond
}
