package resolver

import (
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// TestClockJump: a clock that was ahead for a while, and is set right again, does not
// keep an instance unknown until the time that it had shown; nor does one that is set
// back a little make records look old.
func TestClockJump(t *testing.T) {
	start := time.Now().Round(0)
	id, _, err := identity.Ephemeral(start.Add(-6 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	reg := Registration{Service: sal.MustParseName("svc:web"), Identity: id, Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7001")}}
	d := NewDirectory(id.Cluster())
	var last time.Time
	now := start
	for _, step := range []struct {
		what  string
		clock time.Duration // since the start, of the host and of all others
	}{
		{"at first", 0}, {"later", 10 * time.Second}, {"set back a little", -10 * time.Second}, {"far ahead", 5 * time.Hour},
		{"right again", 20 * time.Second}, {"later still", 30 * time.Second}, {"set back by hours", -5 * time.Hour}, {"and right", 40 * time.Second},
	} {
		now = start.Add(step.clock)
		last = NextIssue(last, now)
		reg := reg
		reg.Weight = 1 + int(step.clock.Abs()/time.Second) // to be told from the others
		r, err := reg.Announce(last)
		if err != nil {
			t.Fatal(err)
		}
		if news, err := d.Add(r.Raw(), now); err != nil || news == nil {
			t.Errorf("%s: news %v, %v", step.what, news, err)
		}
	}
	if got := NextIssue(now, now); !got.After(now) {
		t.Errorf("two records of one time: %v", got)
	}
}
