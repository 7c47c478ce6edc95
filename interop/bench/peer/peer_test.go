package peer

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/interop/bench/load"
	"github.com/serval-net/serval/interop/internal/cluster"
)

func TestSystemsCarryTheWorkloads(t *testing.T) {
	if err := cluster.Share(); err != nil {
		t.Fatal(err)
	}
	for name, system := range Systems() {
		t.Run(name, func(t *testing.T) {
			addr := freeAddr(t)
			t.Setenv(SeedVariable, GossipAddr(addr).String())
			l, err := system.Listen(addr)
			if err != nil {
				t.Skip(err) // a kernel without this congestion control
			}
			defer l.Close()
			go load.Serve(l)
			for _, kind := range []string{"bulk", "dials"} {
				spec := load.Spec{Kind: kind, Addr: addr, For: 300 * time.Millisecond, Streams: 2}
				got, err := load.Run(t.Context(), system, spec)
				if err != nil || len(got) == 0 {
					t.Errorf("%s: %v, %v", kind, got, err)
				}
			}
		})
	}
}

// freeAddr returns an address whose port is free for UDP, and likely for TCP.
func freeAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}
