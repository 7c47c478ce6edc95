package outbound

import (
	"sync"
	"time"
)

// giveUp is how long an instance may leave datagrams without any sign of life until it is
// taken for dead: longer than paths take to fail over, and less than programs wait that
// ask again.
const giveUp = 5 * time.Second

// silence tells when the instance that datagrams go to has fallen silent. A connection
// for datagrams by itself waits long for its peer to come back; but no program knows that,
// and another instance would answer. The zero value is ready.
type silence struct {
	mu    sync.Mutex
	since time.Time // of the first datagram since the instance was last known to live
}

// sent notes a datagram and reports whether the instance has been silent for too long.
// quiet says for how long nothing came from it; it is asked seldom.
func (s *silence) sent(now time.Time, quiet func() time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	waited := now.Sub(s.since)
	switch {
	case s.since.IsZero() || waited < 0:
		s.since = now
	case waited >= giveUp:
		if quiet() >= waited {
			return true
		}
		s.since = now
	}
	return false
}
