package gossip

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
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

// TestClockIsOff: that a record is refused because of a clock is a warning with
// what to do, once a minute; whatever else is wrong is not.
func TestClockIsOff(t *testing.T) {
	token, network := newToken(t), new(memory)
	var text strings.Builder
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelWarn}))
	g := start(t, Config{Identity: newIdentity(t, token), open: network.host().open, Logger: log})
	reg := resolver.Registration{Service: web, Identity: newIdentity(t, token), Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7001")}}
	ahead, err := reg.Announce(time.Now().Add(5 * time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		g.member().NotifyMsg([]byte("nonsense"))
		g.member().NotifyMsg(ahead.Raw())
	}
	if got := text.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "svc:web") || !strings.Contains(got, "set the clocks") {
		t.Errorf("the operator reads %q", got)
	}
}
