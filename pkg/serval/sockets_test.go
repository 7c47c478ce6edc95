package serval

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/serval-net/serval/internal/underlay"
)

// A node keeps off servald's TUN device, unless it is told to use it.
func TestWanted(t *testing.T) {
	addrs := func(list ...string) (out []netip.Addr) {
		for _, s := range list {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	ifaces := []underlay.Interface{
		{Name: "eth0", Running: true, Addrs: addrs("192.0.2.1", "2001:db8::1")},
		{Name: "serval0", Running: true, Addrs: addrs("198.18.0.1", "fd5e:7276:616c::1")},
		{Name: "tun6", Running: true, Addrs: addrs("10.9.0.1", "fd5e:7276:616c::1")},
		{Name: "inside", Running: true, Addrs: addrs("192.0.0.2", "fd5e:7276:616c::2")}, // of servald exec
	}
	for ask, want := range map[string]string{
		"":               "[192.0.2.1:0 [2001:db8::1]:0 192.0.0.2:0 [fd5e:7276:616c::2]:0]",
		"0.0.0.0:7":      "[192.0.2.1:7 192.0.0.2:7]",
		"198.18.0.1:700": "[198.18.0.1:700]",
	} {
		var list []netip.AddrPort
		if ask != "" {
			list = append(list, netip.MustParseAddrPort(ask))
		}
		var got []netip.AddrPort
		for _, l := range wanted(ifaces, list) {
			got = append(got, l.addr)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%q: %v, want %s", ask, got, want)
		}
	}
}
