package serval

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/handshake"
	"github.com/serval-net/serval/pkg/sal"
)

// TestShedHints: the busier, the later one shall come again, and not all at once.
func TestShedHints(t *testing.T) {
	for _, c := range []struct {
		load        float64
		least, most time.Duration
	}{
		{0, 100 * time.Millisecond, 300 * time.Millisecond},
		{1, 100 * time.Millisecond, 300 * time.Millisecond},
		{3, 300 * time.Millisecond, 900 * time.Millisecond},
		{1e300, 2 * time.Second, 6 * time.Second},
	} {
		hints := make(map[time.Duration]bool)
		for range 100 {
			no := shed(c.load)
			if no.Code != sal.Overloaded || no.RetryAfter < c.least || no.RetryAfter > c.most {
				t.Fatalf("load %v: %+v, want %v to %v", c.load, no, c.least, c.most)
			}
			hints[no.RetryAfter] = true
		}
		if len(hints) < 50 {
			t.Errorf("load %v: %d of 100 hints differ", c.load, len(hints))
		}
	}
}

// TestWhoMayBeAskedAgain: what a refusal means for the rest of the dial.
func TestWhoMayBeAskedAgain(t *testing.T) {
	addr := netip.AddrPortFrom(ip(1), 7000)
	no := func(code sal.RefuseCode, after time.Duration) error {
		return &refused{errors.New("no"), code, after}
	}
	for _, c := range []struct {
		name  string
		err   error
		stale time.Duration // since when it is known to be gone
		again time.Duration // 0 for never
	}{
		{"busy", no(sal.Overloaded, 300*time.Millisecond), 0, 300 * time.Millisecond},
		{"busy for a minute, or so somebody says", no(sal.Overloaded, time.Minute), 0, longestHint},
		{"busy without a hint", no(sal.Overloaded, 0), 0, 0},
		{"leaving", no(sal.ShuttingDown, 0), 0, staleRetry},
		{"gone", no(sal.NoService, time.Minute), 0, staleRetry},
		{"gone, as before", no(sal.NoService, 0), stalePatience + time.Millisecond, 0},
		{"gone, and that is news", no(sal.NoService, 0), stalePatience / 2, staleRetry},
		{"too old for ports", fmt.Errorf("%w: %w", ErrRefused, handshake.ErrNoPorts), 0, 0},
		{"its port is closed", fmt.Errorf("%w: nobody there", ErrRefused), 0, staleRetry},
		{"not allowed", no(sal.NotAuthorized, time.Second), 0, 0},
		{"another version", no(sal.VersionMismatch, time.Second), 0, 0},
		{"an impostor", ErrNotAuthorized, 0, 0},
	} {
		a := &attempt{list: []candidate{{addr: addr}}, asked: make(map[netip.AddrPort]*asked)}
		a.node = &Node{}
		a.node.health.init()
		if c.stale > 0 {
			a.node.gone.note(a.name, addr, time.Now().Add(-c.stale))
		}
		begin := time.Now()
		a.decline(addr, c.err)
		took := time.Since(begin)
		until := a.declined[addr]
		if (c.again == 0) != until.IsZero() {
			t.Errorf("%s: asked again at %v", c.name, until)
		} else if d := until.Sub(begin); c.again != 0 && (d < c.again || d > c.again+took) {
			t.Errorf("%s: asked again after %v, want %v", c.name, d, c.again)
		}
		if !a.out(addr) || a.anyLeft() || a.last != c.err {
			t.Errorf("%s: it may be asked at once", c.name)
		}
	}
}
