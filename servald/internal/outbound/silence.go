package outbound

import (
	"sync"
	"time"
)

// giveUp is how long an instance may leave datagrams without any sign of life until it is
// taken for dead: longer than paths take to fail over, and less than programs wait that
// ask again.
const giveUp = 5 * time.Second

// lookEvery is how often it is asked whether the instance has shown life.
const lookEvery = time.Second

// silence tells when the instance that datagrams go to has fallen silent. A connection
// for datagrams by itself waits long for its peer to come back; but no program knows that,
// and another instance would answer. The zero value is ready.
type silence struct {
	mu     sync.Mutex
	since  time.Time // of a datagram after which no life was seen
	looked time.Time
}

// sent notes a datagram and reports whether the instance has been silent for too long.
// quiet says for how long nothing came from it.
func (s *silence) sent(now time.Time, quiet func() time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		s.since, s.looked = now, now
	}
	if now.Sub(s.looked) < lookEvery {
		return false
	}
	s.looked = now
	waited := now.Sub(s.since)
	if quiet() < waited {
		s.since = now
		return false
	}
	return waited >= giveUp
}
