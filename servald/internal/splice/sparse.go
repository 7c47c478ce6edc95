package splice

import (
	"log/slog"
	"net"
	"sync"
	"time"
)

// maxWarnings is how many connections that failed are told of in a second: whoever may
// dial could fill a disk otherwise.
const maxWarnings = 10

// Failures logs what failed, up to 10 times in a second, with how many were skipped before.
// The zero value is ready.
type Failures struct{ told sparse }

// Log tells why the connection from an address failed: at debug level if it was reset,
// which is how some programs end.
func (f *Failures) Log(log *slog.Logger, from net.Addr, err error) {
	if IsReset(err) {
		log.Debug("connection reset", "from", from, "err", err)
		return
	}
	f.Warn(log, "connection failed", "from", from, "err", err)
}

// Warn tells of a failure, as log.Warn does.
func (f *Failures) Warn(log *slog.Logger, text string, args ...any) {
	if ok, skipped := f.told.tell(time.Now()); ok {
		log.Warn(text, append(args, "skipped", skipped)...)
	}
}

// sparse says which of many events are told. The zero value has told none.
type sparse struct {
	mu      sync.Mutex
	since   time.Time // of the second that is counted
	told    int       // in it
	skipped int       // since one was told
}

// tell reports whether to tell of an event, and of how many nobody was told before.
func (s *sparse) tell(now time.Time) (ok bool, skipped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.since) >= time.Second {
		s.since, s.told = now, 0
	}
	if s.told == maxWarnings {
		s.skipped++
		return false, 0
	}
	s.told++
	skipped, s.skipped = s.skipped, 0
	return true, skipped
}
