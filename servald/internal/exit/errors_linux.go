package exit

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// reportErrors makes the kernel queue the ICMP errors for what conn sends, each with
// the address that it was sent to: an unconnected socket learns nothing otherwise.
func reportErrors(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	v6 := conn.LocalAddr().(*net.UDPAddr).IP.To4() == nil
	if cerr := raw.Control(func(fd uintptr) {
		if v6 {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
			return
		}
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1)
	}); cerr != nil {
		return cerr
	}
	return err
}

// readErrors empties the queue, and calls refused for each datagram whose port is
// closed. It reports whether the socket is still open.
func readErrors(conn *net.UDPConn, refused func(to netip.AddrPort)) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	control := make([]byte, 512)
	err = raw.Control(func(fd uintptr) {
		for range maxWaiting {
			_, n, _, from, err := unix.Recvmsg(int(fd), nil, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			if err != nil {
				return
			}
			if to, ok := toAddrPort(from); ok && isRefusal(control[:n]) {
				refused(to)
			}
		}
	})
	return !errors.Is(err, net.ErrClosed)
}

// isRefusal reports whether an entry of the error queue says: port unreachable.
func isRefusal(control []byte) bool {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return false
	}
	for _, m := range messages {
		// struct sock_extended_err begins with the error's number, in host order.
		if len(m.Data) >= 4 && (m.Header.Type == unix.IP_RECVERR || m.Header.Type == unix.IPV6_RECVERR) {
			return syscall.Errno(binary.NativeEndian.Uint32(m.Data)) == syscall.ECONNREFUSED
		}
	}
	return false
}

func toAddrPort(sa unix.Sockaddr) (netip.AddrPort, bool) {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), true
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port)), true
	}
	return netip.AddrPort{}, false
}
