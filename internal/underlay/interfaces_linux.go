package underlay

import (
	"encoding/binary"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// interfaces asks rtnetlink, which tells more than package net: of the carrier,
// and which addresses are tentative.
func interfaces() ([]Interface, error) {
	links, err := dump(unix.RTM_GETLINK)
	if err != nil {
		return nil, err
	}
	var all []Interface
	byIndex := make(map[uint32]int)
	for i := range links {
		if ifc, ok := parseLink(&links[i]); ok {
			byIndex[uint32(ifc.Index)] = len(all)
			all = append(all, ifc)
		}
	}
	addrs, err := dump(unix.RTM_GETADDR)
	if err != nil {
		return nil, err
	}
	for i := range addrs {
		index, addr, ok := parseAddr(&addrs[i])
		if n, known := byIndex[index]; ok && known {
			all[n].Addrs = append(all[n].Addrs, addr)
		}
	}
	return all, nil
}

// dump returns the kernel's answer to one question, asked in the network
// namespace of this thread.
func dump(kind int) ([]syscall.NetlinkMessage, error) {
	tab, err := syscall.NetlinkRIB(kind, syscall.AF_UNSPEC)
	if err != nil {
		return nil, os.NewSyscallError("netlink", err)
	}
	all, err := syscall.ParseNetlinkMessage(tab)
	return all, os.NewSyscallError("netlink", err)
}

func parseLink(m *syscall.NetlinkMessage) (ifc Interface, ok bool) {
	if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg {
		return ifc, false
	}
	info := (*unix.IfInfomsg)(unsafe.Pointer(&m.Data[0]))
	attrs, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return ifc, false
	}
	// RUNNING may lag behind LOWER_UP by a second, which an interface without
	// a carrier, such as a tunnel, always has; it adds that nothing above, such
	// as 802.1X, is still missing.
	const running = unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOWER_UP
	ifc.Index = int(info.Index)
	ifc.Running = info.Flags&running == running
	ifc.Loopback = info.Flags&unix.IFF_LOOPBACK != 0
	for _, a := range attrs {
		switch {
		case a.Attr.Type == unix.IFLA_IFNAME:
			ifc.Name = strings.TrimRight(string(a.Value), "\x00")
		case a.Attr.Type == unix.IFLA_MTU && len(a.Value) == 4:
			ifc.MTU = int(binary.NativeEndian.Uint32(a.Value))
		}
	}
	return ifc, true
}

func parseAddr(m *syscall.NetlinkMessage) (index uint32, addr netip.Addr, ok bool) {
	if m.Header.Type != unix.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg {
		return 0, addr, false
	}
	info := (*unix.IfAddrmsg)(unsafe.Pointer(&m.Data[0]))
	attrs, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return 0, addr, false
	}
	flags := uint32(info.Flags)
	local := false // on a point-to-point link ADDRESS is the peer's
	for _, a := range attrs {
		switch {
		case a.Attr.Type == unix.IFA_LOCAL, a.Attr.Type == unix.IFA_ADDRESS && !local:
			addr, _ = netip.AddrFromSlice(a.Value)
			local = a.Attr.Type == unix.IFA_LOCAL
		case a.Attr.Type == unix.IFA_FLAGS && len(a.Value) == 4:
			flags = binary.NativeEndian.Uint32(a.Value)
		}
	}
	if flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
		return 0, addr, false // cannot be bound yet, or ever
	}
	addr = addr.Unmap()
	return info.Index, addr, usable(addr)
}
