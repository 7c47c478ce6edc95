package exec

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/servald/internal/tun"
)

// peerName is the other end of the program's way out where that is no TUN.
const peerName = "serval1"

// packetBuffer is how many bytes wait in a packet device's socket, if the system lets
// us have that many.
const packetBuffer = 8 << 20

// packetDevice takes the place of a TUN where users may not open /dev/net/tun, or where
// there is none: a pair of virtual Ethernet interfaces, and a packet socket at the far
// end of it. It is slower than a TUN, but a namespace's owner may always have it.
type packetDevice struct {
	*os.File
	raw      syscall.RawConn
	mtu      int
	to4, to6 unix.SockaddrLinklayer // the near end
}

// openPacket makes a packet device. It runs in the namespace.
func openPacket(name string, addrs []netip.Prefix) (tun.Device, error) {
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, MTU: tun.DefaultMTU}, PeerName: peerName, PeerMTU: tun.DefaultMTU}
	if err := netlink.LinkAdd(pair); err != nil {
		return nil, fmt.Errorf("no pair of virtual interfaces can be made: %w", err)
	}
	near, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	far, err := netlink.LinkByName(peerName)
	if err != nil {
		return nil, err
	}
	// The far end has no part in IP: all it gets is for another Ethernet address.
	os.WriteFile("/proc/sys/net/ipv6/conf/"+peerName+"/disable_ipv6", []byte("1"), 0)
	for _, step := range []func() error{
		func() error { return netlink.LinkSetARPOff(near) },
		func() error { return netlink.LinkSetARPOff(far) },
		func() error { return netlink.LinkSetUp(far) },
		func() error { return netlink.LinkSetUp(near) },
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("the virtual interfaces cannot be used: %w", err)
		}
	}
	for _, p := range addrs {
		a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(near, a); err != nil && !(p.Addr().Is6() && !HasIPv6()) {
			return nil, fmt.Errorf("adding the address %v: %w", p, err)
		}
	}
	if err := waitUp(name, peerName); err != nil {
		return nil, err
	}
	return newPacketDevice(near, far)
}

// waitUp waits until interfaces take packets: a moment after they were taken up, and
// what is sent until then is lost.
func waitUp(names ...string) error {
	for _, name := range names {
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			link, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			if link.Attrs().OperState == netlink.OperUp {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("the interface %s does not come up", name)
			}
		}
	}
	return nil
}

// newPacketDevice opens the socket at the far end.
func newPacketDevice(near, far netlink.Link) (tun.Device, error) {
	all := hostToNetwork(unix.ETH_P_ALL)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, packetBuffer) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, packetBuffer)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: far.Attrs().Index}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	d := &packetDevice{File: os.NewFile(uintptr(fd), peerName), mtu: near.Attrs().MTU}
	to := unix.SockaddrLinklayer{Ifindex: far.Attrs().Index, Halen: 6}
	copy(to.Addr[:], near.Attrs().HardwareAddr)
	d.to4, d.to6 = to, to
	d.to4.Protocol, d.to6.Protocol = hostToNetwork(unix.ETH_P_IP), hostToNetwork(unix.ETH_P_IPV6)
	if d.raw, err = d.File.SyscallConn(); err != nil {
		d.File.Close()
		return nil, err
	}
	return d, nil
}

// hostToNetwork returns n such that its bytes in memory are in network order.
func hostToNetwork(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// MTU implements tun.Device.
func (d *packetDevice) MTU() int { return d.mtu }

// Write implements tun.Device. What the queue has no room for is lost.
func (d *packetDevice) Write(b []byte) (int, error) {
	to := d.to4
	if len(b) > 0 && b[0]>>4 == 6 {
		to = d.to6
	}
	var err error
	if cerr := d.raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), b, 0, &to)
		return err != unix.EAGAIN
	}); cerr != nil {
		return 0, cerr
	}
	if err != nil {
		return 0, os.NewSyscallError("sendto", err)
	}
	return len(b), nil
}
