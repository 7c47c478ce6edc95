//go:build linux

package main

import (
	"net/netip"

	"github.com/serval-net/serval/interop/lab"
)

// site is where a case runs.
type site struct {
	client, server *lab.Host
	addr           netip.Addr // the server's
	bottleneck     *lab.Iface // nil without one
	close          func() error
}

// loopback is one host that talks to itself.
func loopback() (*site, error) {
	n, err := lab.New()
	if err != nil {
		return nil, err
	}
	h, err := n.Host("host")
	if err != nil {
		n.Close()
		return nil, err
	}
	addr := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	return &site{client: h, server: h, addr: addr, close: n.Close}, roomy(h)
}

// veth is two hosts and a cable, MTU 1500.
func veth() (*site, error) { return between(lab.NewPair()) }

// routed is two hosts with a path between them.
func routed(p lab.Path) func() (*site, error) {
	return func() (*site, error) { return between(lab.NewRouted(p)) }
}

func between(p *lab.Pair, err error) (*site, error) {
	if err != nil {
		return nil, err
	}
	s := &site{client: p.Client, server: p.Server, addr: p.ServerIface.Addr(), bottleneck: p.Bottleneck, close: p.Close}
	return s, roomy(p.Client, p.Server)
}

// roomy lifts the limits that would measure the kernel's defaults rather than
// its TCP: ports for a long series of dials, since closed connections keep theirs
// for a minute, and windows for a gigabit over 100 ms.
func roomy(hosts ...*lab.Host) error {
	for _, h := range hosts {
		for name, value := range map[string]string{
			"ipv4.ip_local_port_range": "10000 65000",
			"ipv4.tcp_rmem":            "4096 131072 67108864",
			"ipv4.tcp_wmem":            "4096 16384 67108864",
		} {
			if err := h.Sysctl(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}
