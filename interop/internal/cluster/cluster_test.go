package cluster

import (
	"net/netip"
	"testing"

	"github.com/serval-net/serval/pkg/resolver"
)

func TestMembersNeedASharedCluster(t *testing.T) {
	t.Setenv(tokenVariable, "") // and so set back after the test
	if _, err := Member(); err == nil {
		t.Error("a member of no cluster")
	}
	if err := Share(); err != nil {
		t.Fatal(err)
	}
	if _, err := Member(); err != nil {
		t.Error(err)
	}
}

func TestAddrBookKeepsTheFirst(t *testing.T) {
	var b AddrBook
	first, later := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")
	for _, a := range []netip.AddrPort{first, later} {
		if _, err := b.Register(t.Context(), resolver.Registration{Addrs: []netip.AddrPort{a}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.Addrs(); len(got) != 1 || got[0] != first {
		t.Errorf("%v", got)
	}
}
