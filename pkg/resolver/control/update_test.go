package control

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
)

func TestUpdate(t *testing.T) {
	id, path := newIdentity(t), socket(t)
	stop := serve(t, path, newServer(id))
	c := newClient(t, path)
	lease, err := resolver.RegisterNode(ctx, c, id, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7001")})
	if err != nil {
		t.Fatal(err)
	}
	updater := lease.(resolver.Updater)
	expect := func(want ...netip.AddrPort) {
		t.Helper()
		got, err := resolver.LookupNode(ctx, c, id.Node())
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("at %v, %v; want %v", got, err, want)
		}
	}
	second, third := netip.MustParseAddrPort("192.0.2.2:7001"), netip.MustParseAddrPort("[2001:db8::3]:7001")
	if err := updater.Update(ctx, resolver.At(second, third)); err != nil {
		t.Fatal(err)
	}
	expect(second, third)
	for _, bad := range [][]netip.AddrPort{nil, {netip.MustParseAddrPort("0.0.0.0:1")}} {
		if err := updater.Update(ctx, resolver.At(bad...)); err == nil {
			t.Errorf("updated to %v", bad)
		}
	}
	expect(second, third)
	if all, err := c.Services(ctx); err != nil || len(all) != 0 {
		t.Errorf("listed: %v, %v", all, err)
	}

	// What a daemon that is being restarted misses, the next one hears.
	stop()
	if err := updater.Update(ctx, resolver.At(third)); err == nil {
		t.Error("updated without a daemon")
	}
	serve(t, path, newServer(id))
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if got, err := resolver.LookupNode(ctx, c, id.Node()); err == nil && slices.Equal(got, []netip.AddrPort{third}) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("never heard of")
		}
	}
	if err := lease.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := updater.Update(ctx, resolver.At(second)); err == nil {
		t.Error("updated after it was withdrawn")
	}
	if got, err := resolver.LookupNode(ctx, c, id.Node()); err == nil {
		t.Errorf("still at %v", got)
	}
}
