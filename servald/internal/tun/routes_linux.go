package tun

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// queueLength is how many packets wait for the device at most. More get lost: it must be
// enough for the windows of many connections, which is what holds programs back.
const queueLength = 4096

// configure sets up an interface. Its addresses are not checked for duplicates: nobody
// else is on it.
func configure(name string, addrs []netip.Prefix, mtu int) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("tun: finding the device %s: %w", name, err)
	}
	if err := netlink.LinkSetMTU(link, mtu); err != nil {
		return fmt.Errorf("tun: setting the MTU of %s to %d: %w", name, mtu, err)
	}
	if err := netlink.LinkSetTxQLen(link, queueLength); err != nil {
		return fmt.Errorf("tun: setting the queue of %s to %d packets: %w", name, queueLength, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("tun: taking %s up: %w", name, err)
	}
	for _, p := range addrs {
		a := &netlink.Addr{IPNet: toNet(p), Flags: unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE}
		err := netlink.AddrAdd(link, a)
		if p.Addr().Is6() && withoutIPv6(err) {
			continue // the IPv4 addresses do
		}
		if err != nil {
			return fmt.Errorf("tun: adding the address %v to %s: %w", p, name, err)
		}
		if p.Addr().Is6() {
			awaitLocal(p.Addr())
		}
		if p.IsSingleIP() {
			continue
		}
		if err := AddRoute(name, p); err != nil {
			return err
		}
	}
	return nil
}

// awaitLocal waits until the kernel takes packets for an IPv6 address, which it does some
// time after it was added: the first answers would get lost.
func awaitLocal(a netip.Addr) {
	for range 1000 {
		routes, err := netlink.RouteGet(a.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// withoutIPv6 reports whether err says that the kernel has no IPv6.
func withoutIPv6(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EAFNOSUPPORT)
}

// AddRoute leads the addresses of dst to a device that Open has made. Connections over it
// use cubic, where the kernel has it: the device has no capacity that bbr could find,
// and pacing only costs.
func AddRoute(name string, dst netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("tun: finding the device %s: %w", name, err)
	}
	r := &netlink.Route{
		LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: toNet(dst.Masked()), Congctl: "cubic",
	}
	err = netlink.RouteAdd(r)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		r.Congctl = ""
		err = netlink.RouteAdd(r)
	}
	if err != nil && !(dst.Addr().Is6() && withoutIPv6(err)) {
		return fmt.Errorf("tun: adding the route to %v over %s: %w", dst, name, err)
	}
	return nil
}

func toNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
