package splice

import (
	"context"
	"sync"
)

// slots are how many connections there may be. One goroutine takes them, any give
// them back.
type slots struct {
	mu    sync.Mutex
	used  int
	limit int
	freed chan struct{} // has a token when there may be room
}

func newSlots(limit int) *slots { return &slots{limit: limit, freed: make(chan struct{}, 1)} }

// take waits for one, and reports whether there was one before ctx was done.
func (s *slots) take(ctx context.Context) bool {
	for {
		s.mu.Lock()
		ok := s.used < s.limit
		if ok {
			s.used++
		}
		s.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-s.freed:
		case <-ctx.Done():
			return false
		}
	}
}

func (s *slots) give() {
	s.mu.Lock()
	s.used--
	s.mu.Unlock()
	s.wake()
}

// resize changes how many there are; those in use stay.
func (s *slots) resize(limit int) {
	s.mu.Lock()
	s.limit = limit
	s.mu.Unlock()
	s.wake()
}

func (s *slots) wake() {
	select {
	case s.freed <- struct{}{}:
	default:
	}
}
