package underlay

import (
	"encoding/binary"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// route is where the kernel would send a packet.
type route struct {
	kind uint8 // unix.RTN_UNICAST, RTN_LOCAL, ...
	oif  int   // interface index
}

// findRoute asks how packets from src get to dst, or with an interface index
// other than 0, whether a route leads there by that interface.
func findRoute(src, dst netip.Addr, oif int) (r route, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return r, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, routeRequest(src, dst, oif), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return r, os.NewSyscallError("sendto", err)
	}
	buf := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return r, os.NewSyscallError("recvfrom", err)
	}
	all, err := syscall.ParseNetlinkMessage(buf[:n])
	if err != nil || len(all) == 0 {
		return r, os.NewSyscallError("netlink", err)
	}
	return parseRoute(&all[0])
}

func parseRoute(m *syscall.NetlinkMessage) (r route, err error) {
	if m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4 {
		errno := -int32(binary.NativeEndian.Uint32(m.Data))
		return r, os.NewSyscallError("route", unix.Errno(errno))
	}
	if m.Header.Type != unix.RTM_NEWROUTE || len(m.Data) < unix.SizeofRtMsg {
		return r, os.NewSyscallError("route", unix.EINVAL)
	}
	r.kind = (*unix.RtMsg)(unsafe.Pointer(&m.Data[0])).Type
	attrs, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return r, err
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.RTA_OIF && len(a.Value) == 4 {
			r.oif = int(binary.NativeEndian.Uint32(a.Value))
		}
	}
	return r, nil
}

// routeRequest is an RTM_GETROUTE message.
func routeRequest(src, dst netip.Addr, oif int) []byte {
	msg := unix.RtMsg{Family: unix.AF_INET6, Dst_len: uint8(dst.BitLen())}
	if dst.Is4() {
		msg.Family = unix.AF_INET
	}
	attrs := routeAttr(nil, unix.RTA_DST, dst.AsSlice())
	if oif == 0 {
		msg.Src_len = uint8(src.BitLen())
		attrs = routeAttr(attrs, unix.RTA_SRC, src.AsSlice())
	} else {
		// IPv6 insists on the interface only without a source; IPv4 assumes
		// that what has no route is on the link, but not when it looks one up.
		attrs = routeAttr(attrs, unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, uint32(oif)))
		if dst.Is4() {
			msg.Flags = unix.RTM_F_FIB_MATCH
		}
	}
	h := unix.NlMsghdr{
		Len:  uint32(unix.SizeofNlMsghdr + unix.SizeofRtMsg + len(attrs)),
		Type: unix.RTM_GETROUTE, Flags: unix.NLM_F_REQUEST,
	}
	b := append([]byte(nil), (*[unix.SizeofNlMsghdr]byte)(unsafe.Pointer(&h))[:]...)
	b = append(b, (*[unix.SizeofRtMsg]byte)(unsafe.Pointer(&msg))[:]...)
	return append(b, attrs...)
}

// routeAttr appends an attribute; the lengths of values are multiples of 4.
func routeAttr(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	return append(b, value...)
}
