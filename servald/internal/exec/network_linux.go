package exec

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/servald/internal/tun"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

// deviceName is the program's way out.
const deviceName = "serval0"

// The program's addresses. They are seen on no network, and are not the host's, so that
// the program reaches the host's like everybody else's.
var (
	// addr4 is of those that are for one end of a tunnel (RFC 7335).
	addr4 = netip.MustParseAddr("192.0.0.2")
	// addr6 is for services; its /64 has no service.
	addr6 = netip.MustParseAddr("fd5e:7276:616c::2")
	// addr6world is for the rest of IPv6 where the host has that. Unlike a unique local
	// address it does not make programs prefer IPv4 (RFC 6724, 10.6). It is of the
	// range for benchmarks (RFC 5180), as services' IPv4 addresses are.
	addr6world = netip.MustParseAddr("2001:2::2")
)

// setUpNetwork makes the namespace's interfaces and routes. It runs in there. world6
// says that IPv6 leads further than to services.
func setUpNetwork(world6 bool) (tun.Device, error) {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return nil, fmt.Errorf("the namespace has no loopback: %w", err)
	}
	addrs := []netip.Prefix{netip.PrefixFrom(addr4, 32), netip.PrefixFrom(addr6, 128)}
	if world6 {
		addrs = append(addrs, netip.PrefixFrom(addr6world, 128))
	}
	dev, err := tun.Open(deviceName, addrs, 0)
	if err != nil {
		var other error
		if dev, other = openPacket(deviceName, addrs); other != nil {
			return nil, fmt.Errorf("%w; and without it: %w", explainTUN(err), other)
		}
	}
	if err := addRoutes(world6); err != nil {
		dev.Close()
		return nil, err
	}
	allowPing()
	return dev, nil
}

// addRoutes leads everything to the device.
func addRoutes(world6 bool) error {
	routes := []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), vaddr.Prefix6}
	if world6 {
		routes[1] = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	for _, dst := range routes {
		err := tun.AddRoute(deviceName, dst)
		if err != nil && dst.Addr().Is6() && !HasIPv6() {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// HasIPv6 reports whether the kernel has IPv6 and this namespace may use it.
func HasIPv6() bool {
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/all/disable_ipv6")
	return err == nil && string(b) == "0\n"
}

// allowPing lets all groups ping without privileges, as most systems do, or the
// program's if others mean nothing in its user namespace. Where that fails, ping needs
// root, as it does by default in a namespace.
func allowPing() {
	const path = "/proc/sys/net/ipv4/ping_group_range"
	if os.WriteFile(path, []byte("0 2147483647"), 0) != nil {
		gid := unix.Getegid()
		os.WriteFile(path, fmt.Appendf(nil, "%d %d", gid, gid), 0)
	}
}

// portSettings are the host's settings of who may use which ports.
type portSettings map[string][]byte

// readPorts reads those of the calling thread's namespace.
func readPorts() portSettings {
	s := make(portSettings)
	for _, name := range []string{"ip_unprivileged_port_start", "ip_local_port_range"} {
		path := "/proc/sys/net/ipv4/" + name
		if b, err := os.ReadFile(path); err == nil {
			s[path] = b
		}
	}
	return s
}

// write applies them to the calling thread's namespace.
func (s portSettings) write() {
	for path, b := range s {
		os.WriteFile(path, b, 0) // the defaults do as well
	}
}

// hostHasIPv6 reports whether this host has a route to the IPv6 Internet. It sends
// nothing.
func hostHasIPv6() bool {
	c, err := net.Dial("udp6", "[2001:4860:4860::8888]:53")
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// explainTUN says what is wrong with /dev/net/tun.
func explainTUN(err error) error {
	if _, serr := os.Stat("/dev/net/tun"); errors.Is(serr, fs.ErrNotExist) {
		return fmt.Errorf("this system has no /dev/net/tun (load the tun module, or give the container the device): %w", err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("/dev/net/tun may not be opened (most systems let all users: chmod 0666 /dev/net/tun): %w", err)
	}
	return err
}
