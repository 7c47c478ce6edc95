//go:build !linux

package underlay

import (
	"net"
	"net/netip"
)

func interfaces() ([]Interface, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	all := make([]Interface, len(list))
	for i := range list {
		ifc := &list[i]
		const running = net.FlagUp | net.FlagRunning
		all[i] = Interface{
			Name: ifc.Name, Index: ifc.Index, Addrs: addrsOf(ifc), MTU: ifc.MTU,
			Running: ifc.Flags&running == running, Loopback: ifc.Flags&net.FlagLoopback != 0,
		}
	}
	return all, nil
}

// addrsOf is nil for an interface that vanished meanwhile.
func addrsOf(ifc *net.Interface) []netip.Addr {
	list, _ := ifc.Addrs()
	var addrs []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && usable(ip.Unmap()) {
				addrs = append(addrs, ip.Unmap())
			}
		}
	}
	return addrs
}
