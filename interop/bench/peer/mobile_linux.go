package peer

import (
	"context"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/interop/failover/traffic"
	"github.com/serval-net/serval/pkg/serval"
)

// Mobiles returns, by name, the transports for networks that break, each set up
// as its users would who want it to survive.
func Mobiles() map[string]traffic.Transport {
	return map[string]traffic.Transport{
		"serval":           &mobileServal{},
		"serval-failover":  &mobileServal{policy: serval.Policy{Mode: serval.Failover}},
		"serval-redundant": &mobileServal{policy: serval.Policy{Mode: serval.Redundant}},
		RendezvousSystem:   &mobileServal{rendezvous: true},
		"mptcp":            kernelTCP{multipath: true},
		"tcp":              kernelTCP{},
		"quic-go":          &movingQuic{},
	}
}

// kernelTCP is the kernel's TCP or MPTCP, with cubic whatever the machine's
// default. Which addresses MPTCP uses is told to the kernel of the host with "ip
// mptcp".
type kernelTCP struct{ multipath bool }

// Listen serves on all addresses: an MPTCP connection gets subflows to others
// than the one that was dialled.
func (k kernelTCP) Listen(addr netip.AddrPort) (net.Listener, []netip.AddrPort, error) {
	config := net.ListenConfig{Control: cubic}
	config.SetMultipathTCP(k.multipath)
	l, err := config.Listen(context.Background(), "tcp", wildcard(addr))
	return l, []netip.AddrPort{addr}, err
}

func (k kernelTCP) Dial(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	dialer := net.Dialer{Control: cubic}
	dialer.SetMultipathTCP(k.multipath)
	return dialer.DialContext(ctx, "tcp", addrs[0].String())
}

func cubic(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	}); e != nil {
		return e
	}
	return err
}

// wildcard is all addresses of addr's family, at its port.
func wildcard(addr netip.AddrPort) string {
	any := netip.IPv4Unspecified()
	if addr.Addr().Is6() {
		any = netip.IPv6Unspecified()
	}
	return netip.AddrPortFrom(any, addr.Port()).String()
}
