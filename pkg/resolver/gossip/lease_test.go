package gossip

import (
	"strings"
	"testing"
	"time"
)

// TestClockSetBack: a node whose clock is set back goes on renewing its leases, with
// records that others take for later ones.
func TestClockSetBack(t *testing.T) {
	g := newCluster(t, 1).nodes[0]
	l := register(t, g, web, 0).(*lease)
	now := time.Now()
	g.mu.Lock()
	if strings.Contains(l.issued.String(), "m=") {
		t.Errorf("it was issued at %v, which others do not see", l.issued)
	}
	ahead := now.Add(90 * time.Second).Round(0)
	if _, err := l.issue(ahead, l.reg.Announce); err != nil { // before
		t.Fatal(err)
	}
	l.renewed = now
	g.mu.Unlock()

	due := l.reg.RenewEvery()
	if next := g.step(now); next.Sub(now) > due {
		t.Errorf("the next renewal is in %v", next.Sub(now))
	}
	g.step(now.Add(due))
	found, err := g.Resolve(ctx, web)
	if err != nil || len(found) != 1 || found[0].Version <= uint64(ahead.UnixNano()) {
		t.Errorf("after the renewal: %+v, %v", found, err)
	}
}
