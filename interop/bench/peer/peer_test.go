package peer

import (
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/interop/bench/work"
)

func TestSystemsCarryTheWorkloads(t *testing.T) {
	for name, system := range Systems() {
		t.Run(name, func(t *testing.T) {
			l, err := system.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
			if err != nil {
				t.Skip(err) // a kernel without this congestion control
			}
			defer l.Close()
			go work.Serve(l)
			addr := netip.MustParseAddrPort(l.Addr().String())
			for _, kind := range []string{"bulk", "dials"} {
				spec := work.Spec{Kind: kind, Addr: addr, For: 300 * time.Millisecond, Streams: 2}
				got, err := work.Run(t.Context(), system, spec)
				if err != nil || len(got) == 0 {
					t.Errorf("%s: %v, %v", kind, got, err)
				}
			}
		})
	}
}
