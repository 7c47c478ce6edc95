package splice

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFailures: resets are no warnings, and others are few.
func TestFailures(t *testing.T) {
	var text strings.Builder
	log, from := slog.New(slog.NewTextHandler(&text, nil)), &net.TCPAddr{}
	var f Failures
	f.Log(log, from, syscall.ECONNRESET)
	if text.Len() > 0 {
		t.Errorf("a reset is told: %s", text.String())
	}
	for range 1000 {
		f.Log(log, from, errors.New("broken"))
	}
	if n := strings.Count(text.String(), "broken"); n < maxWarnings || n > 10*maxWarnings {
		t.Errorf("%d of 1000 failures were told", n)
	}
}

func TestSparse(t *testing.T) {
	var s sparse
	now := time.Unix(1, 0)
	told := 0
	for range 100 {
		if ok, skipped := s.tell(now); ok {
			told++
			if skipped != 0 {
				t.Errorf("%d were skipped before the first %d", skipped, told)
			}
		}
	}
	if told != maxWarnings {
		t.Errorf("%d of 100 were told", told)
	}
	if ok, skipped := s.tell(now.Add(time.Second)); !ok || skipped != 100-maxWarnings {
		t.Errorf("a second later: told %v, %d skipped", ok, skipped)
	}
}
